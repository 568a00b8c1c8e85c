"""Vision transformers taken apart: the steps of a block, whatever library the tower comes from.

Relevance methods need what a forward pass hides: attention, values, the residual stream. A
`Tower` gives them these steps in one form for ``open_clip.transformer.VisionTransformer`` (both
kinds of block), timm's ``VisionTransformer`` (SigLIP and others) and timm's ``Eva`` (EVA-02, PE).
Tokens are ``(..., N, C)``; per-head tensors are ``(..., heads, N, d)``; attention is
``softmax(q @ k.T)`` with the scale already in ``q``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError

if TYPE_CHECKING:
    from napari_wildseg.engine.models.base import CLIPModel

Grid = tuple[int, int]


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Reshape ``(..., N, heads * d)`` to ``(..., heads, N, d)``."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(-2, -3)


def join_heads(tokens: Tensor) -> Tensor:
    """Reshape ``(..., heads, N, d)`` to ``(..., N, heads * d)``."""
    return tokens.transpose(-2, -3).flatten(-2)


def attention(q: Tensor, k: Tensor) -> Tensor:
    """Attention weights, ``(..., heads, N, N)``."""
    return (q @ k.transpose(-1, -2)).softmax(-1)


@dataclass(frozen=True)
class Block:
    """One transformer block in its steps.

    Attributes
    ----------
    heads : int
        Number of attention heads.
    norm : callable
        Residual stream -> normalised tokens.
    project : callable
        Normalised tokens -> packed queries, keys and values ``(..., N, 3 * heads * d)``; affine.
    split : callable
        ``(packed, rope)`` -> queries (scaled), keys, values, each ``(..., heads, N, d)``.
    branch : callable
        Heads' outputs ``(..., heads, N, d)`` -> what attention adds to the residual stream.
    feed : callable
        The residual stream after attention -> what the feed-forward part adds to it.
    """

    heads: int
    norm: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]
    split: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]
    branch: Callable[[Tensor], Tensor]
    feed: Callable[[Tensor], Tensor]

    def finish(self, x: Tensor, out: Tensor) -> Tensor:
        """Turn residual stream and heads' outputs into the block's output, token by token."""
        x = x + self.branch(out)
        return x + self.feed(x)

    def qkv(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the residual stream ``x``."""
        return self.split(self.project(self.norm(x)), rope)

    def forward(self, x: Tensor, rope: Tensor | None) -> Tensor:
        """Run the block with fused attention, which never holds the weights."""
        q, k, v = self.qkv(x, rope)
        return self.finish(x, F.scaled_dot_product_attention(q, k, v, scale=1.0))


@dataclass(frozen=True)
class MapPool:
    """Attention pooling: one learnt query looks at all tokens (SigLIP).

    Attributes
    ----------
    query : torch.Tensor
        ``(heads, 1, d)``, scaled.
    keys_values : callable
        Residual stream -> keys and values ``(..., heads, N, d)``.
    finish : callable
        The heads' outputs ``(..., heads, 1, d)`` -> embedding ``(..., D)``.
    """

    query: Tensor
    keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]
    finish: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tower:
    """A vision transformer in its steps.

    Attributes
    ----------
    patch : (int, int)
        Height and width of a patch in pixels.
    prefix : int
        Tokens before the patch tokens (class token, registers).
    pooling : {"token", "average", "map"}
        How the tokens become one embedding: the class token, the mean of the patch tokens, or
        attention pooling.
    blocks : tuple of Block
        From the input upward.
    embed : callable
        Pixels ``(B, 3, h, w)``, multiples of the patch -> tokens ``(B, N, C)``.
    rope : callable
        Grid -> rotary position embedding, or None where the tower has none.
    head : callable
        The residual stream after the last block -> embedding ``(..., D)``, as the model does it.
    head_each : callable
        Tokens ``(..., n, C)`` -> embeddings ``(..., n, D)``, each token read out by itself.
    pool : MapPool or None
        The parts of the attention pooling, where there is one.
    """

    patch: Grid
    prefix: int
    pooling: str
    blocks: tuple[Block, ...]
    embed: Callable[[Tensor], Tensor]
    rope: Callable[[Grid], Tensor | None]
    head: Callable[[Tensor], Tensor]
    head_each: Callable[[Tensor], Tensor]
    pool: MapPool | None = None

    def fit(self, pixels: Tensor) -> tuple[Tensor, Grid]:
        """Resample pixels to the nearest multiple of the patch; return them and the patch grid."""
        grid = tuple(
            max(1, round(n / p)) for n, p in zip(pixels.shape[-2:], self.patch, strict=True)
        )
        size = tuple(g * p for g, p in zip(grid, self.patch, strict=True))
        if tuple(pixels.shape[-2:]) != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        return pixels, (grid[0], grid[1])

    def patches(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Patch tokens ``(N, C)`` as a picture ``(C, h, w)``, contiguous float32."""
        return tokens[self.prefix :].T.reshape(-1, *grid).float().contiguous()


def vit_tower(model: CLIPModel) -> Tower | str:
    """Take a model's image tower apart, or say in one sentence why that is not possible."""
    # open_clip and timm take most of a second to import: only when a model is there
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer as TimmViT

    visual: Any = model.visual
    if isinstance(visual, VisionTransformer):
        return _open_clip_tower(visual)
    if isinstance(visual, TimmModel) and isinstance(visual.trunk, TimmViT | Eva):
        return _timm_tower(visual)
    kind = type(getattr(visual, "trunk", visual)).__name__
    return f"Its image tower ({kind}) is not a vision transformer of a known kind."


def require_tower(model: CLIPModel) -> Tower:
    """`vit_tower`, with the sentence raised as an `InputError`."""
    tower = vit_tower(model)
    if isinstance(tower, str):
        raise InputError(f'"{model.name}" cannot be used this way: {tower}')
    return tower


def _resized(positions: Tensor, old: Grid, new: Grid) -> Tensor:
    """Interpolate a position embedding ``(..., h * w, C)`` bilinearly to another grid."""
    if old == new:
        return positions
    picture = positions.reshape(1, *old, -1).permute(0, 3, 1, 2)
    picture = F.interpolate(picture, new, mode="bilinear", align_corners=False)
    return picture.flatten(2).transpose(1, 2).reshape(*positions.shape[:-2], -1, picture.shape[1])


# -- open_clip ---------------------------------------------------------------------------------


def _open_clip_tower(visual: Any) -> Tower | str:
    from open_clip.transformer import CustomResidualAttentionBlock, ResidualAttentionBlock

    if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        return "Its image tower ends in CoCa's attention pooling, which no relevance method reads."
    blocks = []
    for block in visual.transformer.resblocks:
        if isinstance(block, ResidualAttentionBlock):
            blocks.append(_residual_block(block))
        elif isinstance(block, CustomResidualAttentionBlock) and block.attn.logit_scale is None:
            blocks.append(_custom_block(block))
        else:
            return f"Its image tower is built of {type(block).__name__}, which is not supported."

    def embed(pixels: Tensor) -> Tensor:
        x = visual.conv1(pixels)
        grid = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        places = visual.positional_embedding
        places = torch.cat([places[:1], _resized(places[1:], visual.grid_size, tuple(grid))])
        first = visual.class_embedding.expand(len(x), 1, -1)
        return visual.ln_pre(torch.cat([first, x], 1) + places)  # type: ignore[no-any-return]

    def project(x: Tensor) -> Tensor:
        return x if visual.proj is None else x @ visual.proj

    return Tower(
        patch=tuple(visual.patch_size),
        prefix=1,
        pooling="token" if visual.pool_type == "tok" else "average",
        blocks=tuple(blocks),
        embed=embed,
        rope=lambda grid: None,
        head=lambda x: project(visual._pool(x)[0]),
        head_each=lambda x: project(visual.ln_post(x)),
    )


def _residual_block(block: Any) -> Block:
    attn: nn.MultiheadAttention = block.attn
    heads, scale = attn.num_heads, attn.head_dim**-0.5

    def split(packed: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, heads) for part in packed.chunk(3, -1))
        return q * scale, k, v

    return Block(
        heads=attn.num_heads,
        norm=block.ln_1,
        project=lambda x: F.linear(x, attn.in_proj_weight, attn.in_proj_bias),
        split=split,
        branch=lambda out: block.ls_1(attn.out_proj(join_heads(out))),
        feed=lambda x: block.ls_2(block.mlp(block.ln_2(x))),
    )


def _custom_block(block: Any) -> Block:
    attn = block.attn

    def split(packed: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, attn.num_heads) for part in packed.chunk(3, -1))
        return attn.ln_q(q) * attn.scale, attn.ln_k(k), v

    def branch(out: Tensor) -> Tensor:
        if attn.head_scale is not None:
            out = out * attn.head_scale
        out = attn.out_proj(attn.ln_inner(join_heads(out)))
        return block.ls_1(block.ln_attn(out))  # type: ignore[no-any-return]

    return Block(
        heads=attn.num_heads,
        norm=block.ln_1,
        project=lambda x: F.linear(x, attn.in_proj_weight, attn.in_proj_bias),
        split=split,
        branch=branch,
        feed=lambda x: block.ls_2(block.mlp(block.ln_2(x))),
    )


# -- timm --------------------------------------------------------------------------------------


def _timm_tower(visual: Any) -> Tower | str:
    from timm.layers import AttentionPoolLatent, PatchEmbed

    trunk = visual.trunk
    if not isinstance(trunk.patch_embed, PatchEmbed):
        return f"Its image tower starts with {type(trunk.patch_embed).__name__}, not with patches."
    blocks = [_timm_block(block, trunk) for block in trunk.blocks]
    for block in blocks:
        if isinstance(block, str):
            return block
    pooling = {"token": "token", "avg": "average", "map": "map"}.get(trunk.global_pool)
    if pooling is None or getattr(trunk, "rope_mixed", False):
        return f'Its image tower pools by "{trunk.global_pool}", which is not supported.'
    if pooling == "map" and not (
        isinstance(trunk.attn_pool, AttentionPoolLatent)
        and trunk.attn_pool.latent_len == 1
        and trunk.attn_pool.pos_embed is None
    ):
        return "Its image tower has an attention pooling that is not supported."
    # Eva pools over every token; VisionTransformer leaves the prefix out unless told otherwise
    whole = getattr(trunk, "pool_include_prefix", pooling == "map")
    if pooling == "average" and whole:
        return "Its image tower averages the class token in, which is not supported."
    prefix = trunk.num_prefix_tokens

    def embed(pixels: Tensor) -> Tensor:
        x = trunk.patch_embed.proj(pixels)
        grid = tuple(x.shape[-2:])
        x = trunk.patch_embed.norm(x.flatten(2).transpose(1, 2))
        first = [
            token.expand(len(x), -1, -1)
            for token in (trunk.cls_token, trunk.reg_token)
            if token is not None
        ]
        places = trunk.pos_embed
        if places is not None:
            skip = 0 if trunk.no_embed_class else prefix
            places = torch.cat(
                [places[:, :skip], _resized(places[:, skip:], trunk.patch_embed.grid_size, grid)], 1
            )
            x = x + places[:, skip:]
            if skip:
                first = [torch.cat(first, 1) + places[:, :skip]]
        return trunk.norm_pre(torch.cat([*first, x], 1))  # type: ignore[no-any-return]

    pool = _map_pool(visual, prefix if not whole else 0) if pooling == "map" else None

    def head_each(x: Tensor) -> Tensor:
        x = trunk.norm(x)
        if pooling == "map":
            x = trunk.attn_pool(x.reshape(-1, 1, x.shape[-1])).reshape(*x.shape[:-1], -1)
        return visual.head(trunk.head(trunk.fc_norm(x)))  # type: ignore[no-any-return]

    return Tower(
        patch=tuple(trunk.patch_embed.patch_size),
        prefix=prefix,
        pooling=pooling,
        blocks=tuple(b for b in blocks if isinstance(b, Block)),
        embed=embed,
        rope=lambda grid: _rope(trunk, grid),
        head=lambda x: visual.head(trunk.forward_head(trunk.norm(x))),
        head_each=head_each,
        pool=pool,
    )


def _map_pool(visual: Any, skip: int) -> MapPool:
    trunk = visual.trunk
    pool = trunk.attn_pool

    def keys_values(x: Tensor) -> tuple[Tensor, Tensor]:
        k, v = pool.kv(trunk.norm(x)[..., skip:, :]).chunk(2, -1)
        return pool.k_norm(split_heads(k, pool.num_heads)), split_heads(v, pool.num_heads)

    def finish(out: Tensor) -> Tensor:
        x = pool.proj(join_heads(out))
        if pool.mlp is not None:
            x = x + pool.mlp(pool.norm(x))
        return visual.head(trunk.head(trunk.fc_norm(x[..., 0, :])))  # type: ignore[no-any-return]

    query = pool.q_norm(split_heads(pool.q(pool.latent)[0], pool.num_heads)) * pool.scale
    return MapPool(query=query, keys_values=keys_values, finish=finish)


def _timm_block(block: Any, trunk: Any) -> Block | str:
    from timm.layers import Attention
    from timm.models.eva import EvaAttention, EvaBlock
    from timm.models.vision_transformer import Block as ViTBlock

    attn = block.attn
    known = (isinstance(block, ViTBlock) and isinstance(attn, Attention)) or (
        isinstance(block, EvaBlock) and isinstance(attn, EvaAttention)
    )
    if not known or getattr(attn, "gate", None) is not None:  # older timm has no gates
        return f"Its image tower is built of {type(block).__name__}, which is not supported."
    rotary = isinstance(attn, EvaAttention)

    def project(x: Tensor) -> Tensor:
        if attn.qkv is None:
            return torch.cat([attn.q_proj(x), attn.k_proj(x), attn.v_proj(x)], -1)
        if rotary and attn.q_bias is not None:
            bias = torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
            return F.linear(x, attn.qkv.weight, bias)
        return attn.qkv(x)  # type: ignore[no-any-return]

    def split(packed: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, attn.num_heads) for part in packed.chunk(3, -1))
        q, k = attn.q_norm(q), attn.k_norm(k)
        if rope is not None:
            q, k = (_rotated(x, rope, attn) for x in (q, k))
        return q * attn.scale, k, v

    def scale(part: int, x: Tensor) -> Tensor:
        if not rotary:
            return (block.ls1 if part == 1 else block.ls2)(x)  # type: ignore[no-any-return]
        gamma = block.gamma_1 if part == 1 else block.gamma_2
        return x if gamma is None else gamma * x

    return Block(
        heads=attn.num_heads,
        norm=block.norm1,
        project=project,
        split=split,
        branch=lambda out: scale(1, attn.proj(attn.norm(join_heads(out)))),
        feed=lambda x: scale(2, block.mlp(block.norm2(x))),
    )


def _rope(trunk: Any, grid: Grid) -> Tensor | None:
    rope = getattr(trunk, "rope", None)
    if rope is None:
        return None
    if tuple(trunk.patch_embed.grid_size) == grid:
        return rope.get_embed()  # type: ignore[no-any-return]
    rope.update_feat_shape(list(grid))
    try:
        return rope.get_embed().clone()  # type: ignore[no-any-return]
    finally:
        rope.update_feat_shape(list(trunk.patch_embed.grid_size))


def _rotated(x: Tensor, rope: Tensor, attn: Any) -> Tensor:
    from timm.layers import apply_rot_embed_cat

    skip = attn.num_prefix_tokens
    turned = apply_rot_embed_cat(x[..., skip:, :], rope, half=attn.rotate_half)
    return torch.cat([x[..., :skip, :], turned.to(x.dtype)], -2)


# -- the forward pass --------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """The end of a forward pass over a batch of views.

    Attributes
    ----------
    grid : (int, int)
        Patches down and across.
    middle, late : torch.Tensor
        ``(B, N, C)``, the residual stream half-way and before the last block.
    last : torch.Tensor
        ``(B, N, C)``, the residual stream after the last block; ``(B, 1, C)``, the class token
        alone, where the method left out the rest.
    embedding : torch.Tensor
        ``(B, D)`` unit rows.
    """

    grid: Grid
    middle: Tensor
    late: Tensor
    last: Tensor
    embedding: Tensor

    def features(self, tower: Tower, b: int) -> list[Tensor]:
        """Local features of view b for the refinement, each ``(C, h, w)`` float32.

        The last block mostly gathers what the class token needs; what it is given still says
        what lies under each patch.
        """
        return [tower.patches(x[b], self.grid) for x in (self.middle, self.late)]


def forward(
    model: CLIPModel,
    tower: Tower,
    pixels: Tensor,
    step: Callable[[int, Block, Tensor, Tensor | None], Tensor | None],
) -> Pass:
    """Run a tower, giving a method the chance to look at each block.

    Parameters
    ----------
    model : CLIPModel
        The model.
    tower : Tower
        Its image tower.
    pixels : torch.Tensor
        ``(B, 3, h, w)``, any size, on any device.
    step : callable
        ``(index, block, residual stream, rope)`` -> the block's output, or None to have the block
        run with fused attention. Of the last block, the class token alone is enough where it is
        what the tower reads out.
    """
    pixels, grid = tower.fit(pixels.to(model.device))
    x, rope = tower.embed(pixels), tower.rope(grid)
    middle = late = x
    with model.linears:
        for i, block in enumerate(tower.blocks):
            late = x
            out = step(i, block, x, rope)
            x = block.forward(x, rope) if out is None else out
            if i == len(tower.blocks) // 2 - 1:
                middle = x
    return Pass(grid, middle, late, x, F.normalize(tower.head(x).float(), dim=-1))


def vector_jacobian(
    outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], cotangents: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Pull a batch of cotangents ``(K, *output.shape)`` back to ``(K, *input.shape)``."""
    gradients: tuple[Tensor, ...] = torch.autograd.grad(
        outputs, inputs, cotangents, is_grads_batched=True
    )
    return gradients


def cosine_gradient(embedding: Tensor, text: Tensor) -> Tensor:
    """Gradient of ``cos(embedding, text_k)`` by the embedding: ``(D,), (K, D) -> (K, D)``."""
    norm = embedding.norm()
    unit = embedding / norm
    gradient: Tensor = (text - (text @ unit)[:, None] * unit) / norm
    return gradient


def class_chunk(heads: int, tokens: int, *, budget: int = 2**26) -> int:
    """Classes to treat at a time so that their ``(heads, N, N)`` floats stay within a budget."""
    return max(1, budget // (heads * tokens * tokens))
