"""Image towers of ``open_clip.transformer.VisionTransformer``, with both kinds of block."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.relevance.tower import (
    Block,
    MapPool,
    Tower,
    join_heads,
    resized_positions,
    split_heads,
)


def open_clip_tower(visual: Any) -> Tower | str:
    """Split a tower into its steps, or return why it is not supported."""
    from open_clip.transformer import CustomResidualAttentionBlock, ResidualAttentionBlock

    pooled = visual.attn_pool is not None
    if visual.pool_type not in (("tok",) if pooled else ("tok", "avg")):
        return f'Its image tower pools by "{visual.pool_type}", which is not supported.'
    blocks = []
    for block in visual.transformer.resblocks:
        if isinstance(block, ResidualAttentionBlock):
            blocks.append(_residual_block(block))
        elif isinstance(block, CustomResidualAttentionBlock) and block.attn.logit_scale is None:
            blocks.append(_custom_block(block))
        else:
            return f"Its image tower is built of {type(block).__name__}, which is not supported."

    def embed(pixels: Tensor, positions: str) -> Tensor:
        x = visual.conv1(pixels)
        grid = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        places = visual.positional_embedding
        places = torch.cat(
            [places[:1], resized_positions(places[1:], visual.grid_size, tuple(grid), positions)]
        )
        first = visual.class_embedding.expand(len(x), 1, -1)
        return visual.ln_pre(torch.cat([first, x], 1) + places)  # type: ignore[no-any-return]

    def project(x: Tensor) -> Tensor:
        return x if visual.proj is None else x @ visual.proj

    def head_each(x: Tensor) -> Tensor:
        if pooled:  # pooling over a single token returns its value
            x = _value(visual.attn_pool, x)
        return project(visual.ln_post(x))

    return Tower(
        patch=tuple(visual.patch_size),
        prefix=1,
        pooling="map" if pooled else "token" if visual.pool_type == "tok" else "average",
        blocks=tuple(blocks),
        embed=embed,
        rope=lambda grid: None,
        head=lambda x: project(visual._pool(x)[0]),
        head_each=head_each,
        pool=_coca_pool(visual, project) if pooled else None,
    )


def _pool_weights(pool: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights of CoCa's attention pooling for queries, keys and values."""
    attn: nn.MultiheadAttention = pool.attn
    if attn.in_proj_weight is not None:
        q, k, v = attn.in_proj_weight.chunk(3)
        return q, k, v
    return attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight


def _value(pool: Any, x: Tensor) -> Tensor:
    attn: nn.MultiheadAttention = pool.attn
    _, _, weight = _pool_weights(pool)
    value = F.linear(pool.ln_k(x), weight, attn.in_proj_bias.chunk(3)[2])
    return attn.out_proj(value)  # type: ignore[no-any-return]


def _coca_pool(visual: Any, project: Callable[[Tensor], Tensor]) -> MapPool:
    """Return CoCa's attention pooling; the first of its queries makes the image embedding."""
    pool = visual.attn_pool
    attn: nn.MultiheadAttention = pool.attn
    weights, biases = _pool_weights(pool), attn.in_proj_bias.chunk(3)

    def keys_values(x: Tensor) -> tuple[Tensor, Tensor]:
        x = pool.ln_k(x)
        k, v = (F.linear(x, weights[i], biases[i]) for i in (1, 2))
        return split_heads(k, attn.num_heads), split_heads(v, attn.num_heads)

    def finish(out: Tensor) -> Tensor:
        return project(visual.ln_post(attn.out_proj(join_heads(out))[..., 0, :]))

    query = F.linear(pool.ln_q(pool.query[:1]), weights[0], biases[0])
    query = split_heads(query, attn.num_heads) * attn.head_dim**-0.5
    return MapPool(query=query, keys_values=keys_values, finish=finish)


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
        feed_forward=lambda x: block.ls_2(block.mlp(block.ln_2(x))),
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
        feed_forward=lambda x: block.ls_2(block.mlp(block.ln_2(x))),
    )
