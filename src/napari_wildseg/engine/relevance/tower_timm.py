"""Image towers of timm: ``VisionTransformer`` (SigLIP and others) and ``Eva`` (EVA-02, PE)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.relevance.tower import (
    Block,
    Grid,
    MapPool,
    Tower,
    join_heads,
    resized_positions,
    split_heads,
)


def timm_tower(visual: Any) -> Tower | str:
    """Split a tower into its steps, or return why it is not supported."""
    from timm.layers import AttentionPoolLatent, HybridEmbed, PatchEmbed

    trunk = visual.trunk
    stem = trunk.patch_embed
    if not isinstance(stem, PatchEmbed | HybridEmbed):
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
    # Eva pools over every token; VisionTransformer excludes the prefix by default
    whole = getattr(trunk, "pool_include_prefix", pooling == "map")
    prefix = trunk.num_prefix_tokens
    if pooling == "average" and whole and prefix:
        return "Its image tower averages the class token in, which is not supported."
    smooth = getattr(trunk, "any_aspect", False)

    def embed(pixels: Tensor, positions: str) -> Tensor:
        if isinstance(stem, HybridEmbed):
            pixels = stem.backbone(pixels)
            pixels = pixels[-1] if isinstance(pixels, list | tuple) else pixels
        x = stem.proj(pixels)
        grid = (x.shape[-2], x.shape[-1])
        x = x.flatten(2).transpose(1, 2)
        if isinstance(stem, PatchEmbed):
            x = stem.norm(x)
        first = [
            token.expand(len(x), -1, -1)
            for token in (trunk.cls_token, trunk.reg_token)
            if token is not None
        ]
        places = trunk.pos_embed
        if places is not None:
            skip = 0 if trunk.no_embed_class else prefix
            places = torch.cat(
                [
                    places[:, :skip],
                    resized_positions(
                        places[:, skip:], stem.grid_size, grid, positions, antialias=smooth
                    ),
                ],
                1,
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
        patch=_patch(stem),
        prefix=prefix,
        pooling=pooling,
        blocks=tuple(b for b in blocks if isinstance(b, Block)),
        embed=embed,
        rope=lambda grid: _rope(trunk, grid),
        head=lambda x: visual.head(trunk.forward_head(trunk.norm(x))),
        head_each=head_each,
        pool=pool,
    )


def _patch(stem: Any) -> Grid:
    """Return height and width of a patch in pixels, including a convolutional stem."""
    ratio = getattr(stem, "feature_ratio", (1, 1))
    return int(stem.patch_size[0] * ratio[0]), int(stem.patch_size[1] * ratio[1])


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
    from timm.layers import Attention, AttentionRope
    from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
    from timm.models.vision_transformer import Block as ViTBlock

    attn = block.attn
    eva = isinstance(block, EvaBlock | EvaBlockPostNorm)
    known = (isinstance(block, ViTBlock) and isinstance(attn, Attention)) or (
        eva and isinstance(attn, EvaAttention | AttentionRope)
    )
    groups = getattr(attn, "num_kv_groups", 1)  # older timm has neither gates nor groups
    if not known or getattr(attn, "gate", None) is not None or groups != 1:
        return f"Its image tower is built of {type(block).__name__}, which is not supported."
    # EVA02-E normalises the output of a branch, not its input
    after = isinstance(block, EvaBlockPostNorm)

    def project(x: Tensor) -> Tensor:
        if attn.qkv is None:
            return torch.cat([attn.q_proj(x), attn.k_proj(x), attn.v_proj(x)], -1)
        if isinstance(attn, EvaAttention) and attn.q_bias is not None:
            bias = torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
            return F.linear(x, attn.qkv.weight, bias)
        return attn.qkv(x)  # type: ignore[no-any-return]

    def split(packed: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, attn.num_heads) for part in packed.chunk(3, -1))
        q, k = attn.q_norm(q), attn.k_norm(k)
        if rope is not None:
            q, k = (_rotated(x, rope, attn) for x in (q, k))
        return q * attn.scale, k, v

    def added(part: int, x: Tensor) -> Tensor:
        """Return the branch's contribution to the residual stream."""
        if after:
            return (block.norm1 if part == 1 else block.norm2)(x)  # type: ignore[no-any-return]
        if not eva:
            return (block.ls1 if part == 1 else block.ls2)(x)  # type: ignore[no-any-return]
        gamma = block.gamma_1 if part == 1 else block.gamma_2
        return x if gamma is None else gamma * x

    return Block(
        heads=attn.num_heads,
        norm=(lambda x: x) if after else block.norm1,
        project=project,
        split=split,
        branch=lambda out: added(1, attn.proj(attn.norm(join_heads(out)))),
        feed_forward=lambda x: added(2, block.mlp(x if after else block.norm2(x))),
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
