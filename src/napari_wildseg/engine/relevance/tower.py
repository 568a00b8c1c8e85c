"""A vision transformer split into its steps, in one form for open_clip and timm.

Relevance methods need intermediate results of the forward pass: attention weights, values, the
residual stream. Tokens are ``(..., N, C)``; per-head tensors are ``(..., heads, N, d)``; attention
is ``softmax(q @ k.T)`` with the scale included in ``q``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int]

MAX_WEIGHTS = 2**25
"""Maximum number of attention weights in memory, over all heads and views: 128 MB in float32. A
ViT-B-16 at 1520 patches has fewer, a ViT-L-14-336 at its base view more."""


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Reshape ``(..., N, heads * d)`` to ``(..., heads, N, d)``."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(-2, -3)


def join_heads(tokens: Tensor) -> Tensor:
    """Reshape ``(..., heads, N, d)`` to ``(..., N, heads * d)``."""
    return tokens.transpose(-2, -3).flatten(-2)


def attention(q: Tensor, k: Tensor) -> Tensor:
    """Return the attention weights, ``(..., heads, N, N)``."""
    return (q @ k.transpose(-1, -2)).softmax(-1)


def fits_in_memory(q: Tensor, k: Tensor) -> bool:
    """Return whether the attention weights of all queries fit into memory at once."""
    return q.shape[:-1].numel() * k.shape[-2] <= MAX_WEIGHTS


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the heads' outputs ``(..., heads, N, d)``.

    Above `MAX_WEIGHTS`, fused attention is used, which never stores the weights.
    """
    if fits_in_memory(q, k):
        return attention(q, k) @ v
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def read_attention(
    q: Tensor, k: Tensor, v: Tensor, *, prefix: int, first_only: bool
) -> tuple[Tensor, Tensor]:
    """Return mean attention over the heads and the heads' outputs, computed in blocks.

    `q`, `k`, `v`: ``(B, heads, N, d)``. Returns ``(B, n, n)`` over the patches, and ``(B, heads,
    N, d)`` or ``(B, heads, 1, d)``.
    """
    batch, heads, tokens, _ = q.shape
    rows = max(prefix + 1, MAX_WEIGHTS // (batch * heads * tokens))
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
    """The steps of one transformer block."""

    heads: int  # number of attention heads
    norm: Callable[[Tensor], Tensor]  # residual stream -> normalised tokens
    # Normalised tokens -> packed queries, keys and values ``(..., N, 3 * heads * d)``; affine.
    project: Callable[[Tensor], Tensor]
    # ``(packed, rope)`` -> queries (scaled), keys, values, each ``(..., heads, N, d)``.
    split: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]
    # Heads' outputs ``(..., heads, N, d)`` -> attention branch of the residual stream.
    branch: Callable[[Tensor], Tensor]
    # Residual stream after attention -> feed-forward branch.
    feed_forward: Callable[[Tensor], Tensor]

    def finish(self, x: Tensor, out: Tensor) -> Tensor:
        """Return the block's output from the residual stream and the heads' outputs, per token."""
        x = x + self.branch(out)
        return x + self.feed_forward(x)

    def qkv(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of the residual stream ``x``."""
        return self.split(self.project(self.norm(x)), rope)

    def forward(self, x: Tensor, rope: Tensor | None) -> Tensor:
        """Run the block with fused attention, which does not store the weights."""
        q, k, v = self.qkv(x, rope)
        return self.finish(x, F.scaled_dot_product_attention(q, k, v, scale=1.0))


@dataclass(frozen=True)
class MapPool:
    """Attention pooling: one learnt query attends to all tokens (SigLIP)."""

    query: Tensor  # ``(heads, 1, d)``, scaled
    # Residual stream -> keys and values ``(..., heads, N, d)``.
    keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]
    # The heads' outputs ``(..., heads, 1, d)`` -> embedding ``(..., D)``.
    finish: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tower:
    """The steps of a vision transformer."""

    patch: Grid  # height and width of a patch in pixels
    prefix: int  # tokens before the patch tokens (class token, registers)
    # Pooling of the tokens to one embedding: "token" (class token), "average" (mean of the patch
    # tokens) or "map" (attention pooling).
    pooling: str
    blocks: tuple[Block, ...]  # from the input upward
    # ``(pixels, positions)`` -> tokens ``(B, N, C)``. Pixels are ``(B, 3, h, w)``, multiples of
    # the patch; positions is the interpolation of position embeddings (bilinear or bicubic).
    embed: Callable[[Tensor, str], Tensor]
    # Grid -> rotary position embedding, or None if the tower has none.
    rope: Callable[[Grid], Tensor | None]
    # Residual stream after the last block -> embedding ``(..., D)``, as in the model.
    head: Callable[[Tensor], Tensor]
    # Tokens ``(..., n, C)`` -> embeddings ``(..., n, D)``, each token read out singly.
    head_each: Callable[[Tensor], Tensor]
    pool: MapPool | None = None  # the steps of attention pooling, if the tower has it

    def fit(self, pixels: Tensor) -> tuple[Tensor, Grid]:
        """Resample pixels to the nearest multiple of the patch; return also the patch grid."""
        grid = tuple(
            max(1, round(n / p)) for n, p in zip(pixels.shape[-2:], self.patch, strict=True)
        )
        size = tuple(g * p for g, p in zip(grid, self.patch, strict=True))
        if tuple(pixels.shape[-2:]) != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        return pixels, (grid[0], grid[1])

    def patches(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return patch tokens ``(N, C)`` as a feature map ``(C, h, w)``, contiguous float32."""
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
