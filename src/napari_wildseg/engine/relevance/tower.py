"""A vision transformer taken apart: the steps of a block, whatever library it comes from.

Relevance methods need what a forward pass hides: attention, values, the residual stream. A
`Tower` gives them these steps in one form. Tokens are ``(..., N, C)``; per-head tensors are
``(..., heads, N, d)``; attention is ``softmax(q @ k.T)`` with the scale already in ``q``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int]

MOST_WEIGHTS = 2**25
"""Attention weights, over all heads and views, that are held at a time: 128 MB in float32. Those
of a ViT-B-16 at 1520 patches are fewer, those of a ViT-L-14-336 at its base view more."""


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Reshape ``(..., N, heads * d)`` to ``(..., heads, N, d)``."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(-2, -3)


def join_heads(tokens: Tensor) -> Tensor:
    """Reshape ``(..., heads, N, d)`` to ``(..., N, heads * d)``."""
    return tokens.transpose(-2, -3).flatten(-2)


def attention(q: Tensor, k: Tensor) -> Tensor:
    """Attention weights, ``(..., heads, N, N)``."""
    return (q @ k.transpose(-1, -2)).softmax(-1)


def fits(q: Tensor, k: Tensor) -> bool:
    """Whether the attention weights of all queries may be held at a time."""
    return q.shape[:-1].numel() * k.shape[-2] <= MOST_WEIGHTS


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Heads' outputs ``(..., heads, N, d)``; weights are held only where they are few.

    Above `MOST_WEIGHTS`, fused attention takes over, which never holds them, nor for a gradient.
    """
    if fits(q, k):
        return attention(q, k) @ v
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def read_attention(
    q: Tensor, k: Tensor, v: Tensor, *, prefix: int, first_only: bool
) -> tuple[Tensor, Tensor]:
    """Mean attention over the heads, and the heads' outputs, in blocks of `MOST_WEIGHTS`.

    `q`, `k`, `v`: ``(B, heads, N, d)``; returns ``(B, n, n)`` over the patches; returns ``(B,
    heads, N, d)`` or ``(B, heads, 1, d)``.
    """
    batch, heads, tokens, _ = q.shape
    rows = max(prefix + 1, MOST_WEIGHTS // (batch * heads * tokens))
    means, outs = [], []
    for start in range(0, tokens, rows):
        weights = attention(q[..., start : start + rows, :], k)
        means.append(weights[..., prefix if start == 0 else 0 :, prefix:].mean(1))
        if start == 0 or not first_only:
            outs.append((weights[..., :1, :] if first_only else weights) @ v)
        del weights
    if len(means) == 1:
        return means[0], outs[0]
    return torch.cat(means, -2), torch.cat(outs, -2)


@dataclass(frozen=True)
class Block:
    """One transformer block in its steps."""

    heads: int  # number of attention heads
    norm: Callable[[Tensor], Tensor]  # residual stream -> normalised tokens
    # Normalised tokens -> packed queries, keys and values ``(..., N, 3 * heads * d)``; affine.
    project: Callable[[Tensor], Tensor]
    # ``(packed, rope)`` -> queries (scaled), keys, values, each ``(..., heads, N, d)``.
    split: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]
    # Heads' outputs ``(..., heads, N, d)`` -> what attention adds to the residual stream.
    branch: Callable[[Tensor], Tensor]
    # The residual stream after attention -> what the feed-forward part adds to it.
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
    """Attention pooling: one learnt query looks at all tokens (SigLIP)."""

    query: Tensor  # ``(heads, 1, d)``, scaled
    # Residual stream -> keys and values ``(..., heads, N, d)``.
    keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]
    # The heads' outputs ``(..., heads, 1, d)`` -> embedding ``(..., D)``.
    finish: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tower:
    """A vision transformer in its steps."""

    patch: Grid  # height and width of a patch in pixels
    prefix: int  # tokens before the patch tokens (class token, registers)
    # How the tokens become one embedding: the class token, the mean of the patch tokens, or
    # attention pooling.
    pooling: str
    blocks: tuple[Block, ...]  # from the input upward
    # ``(pixels, positions)``: pixels ``(B, 3, h, w)``, multiples of the patch, and how position
    # embeddings are interpolated ("bilinear" or "bicubic") -> tokens ``(B, N, C)``.
    embed: Callable[[Tensor, str], Tensor]
    # Grid -> rotary position embedding, or None where the tower has none.
    rope: Callable[[Grid], Tensor | None]
    # The residual stream after the last block -> embedding ``(..., D)``, as the model does it.
    head: Callable[[Tensor], Tensor]
    # Tokens ``(..., n, C)`` -> embeddings ``(..., n, D)``, each token read out by itself.
    head_each: Callable[[Tensor], Tensor]
    pool: MapPool | None = None  # the parts of the attention pooling, where there is one

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


def resized_positions(
    positions: Tensor, old: Grid, new: Grid, mode: str = "bilinear", *, antialias: bool = False
) -> Tensor:
    """Interpolate a position embedding ``(..., h * w, C)`` to another grid.

    `positions`: ``(..., h * w, C)``.
    """
    if old == new:
        return positions
    picture = positions.reshape(1, *old, -1).permute(0, 3, 1, 2)
    picture = F.interpolate(picture, new, mode=mode, align_corners=False, antialias=antialias)
    return picture.flatten(2).transpose(1, 2).reshape(*positions.shape[:-2], -1, picture.shape[1])
