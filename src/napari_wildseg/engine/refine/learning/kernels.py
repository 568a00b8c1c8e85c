"""A Gaussian kernel over points, whole or of low rank.

With the features of low rank, a Gaussian process over a few thousand points is a linear regression
on a few hundred numbers (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006,
ch. 8), cheap enough to be asked what it would say without each of its observations.
"""

from __future__ import annotations

import torch
from torch import Tensor

_JITTER = 1e-4
"""Added to the kernel's diagonal: points may be equal."""

_ROWS = 256
"""Points that are compared with all others at a time."""


def gaussian(points: Tensor, others: Tensor) -> Tensor:
    """Compare points with others.

    `points`, `others`: ``(n, d)`` and ``(m, d)`` float32, in units of the length scale; returns
    ``(n, m)`` float32 in (0, 1], 1 for equal points.
    """
    half, others_half = points.square().sum(1) / 2, others.square().sum(1) / 2
    kernel = torch.empty(len(points), len(others))
    # Some rows at a time, which stay in the cache for all that is done with them.
    for start in range(0, len(points), _ROWS):
        part = slice(start, start + _ROWS)
        rows = torch.mm(points[part], others.T, out=kernel[part])
        _exponential(rows, half[part], others_half)
    return kernel


def gaussian_among(points: Tensor) -> Tensor:
    """Compare points with each other, each pair once.

    `points`: ``(n, d)`` float32, in units of the length scale; returns ``(n, n)`` float32 in (0,
    1], symmetric.
    """
    half = points.square().sum(1) / 2
    kernel = torch.empty(len(points), len(points))
    for start in range(0, len(points), _ROWS):
        part, rest = slice(start, start + _ROWS), slice(start + _ROWS, None)
        rows = torch.mm(points[part], points[start:].T, out=kernel[part, start:])
        _exponential(rows, half[part], half[start:])
        kernel[rest, part] = kernel[part, rest].T
    return kernel


def _exponential(products: Tensor, half: Tensor, others_half: Tensor) -> None:
    """Turn products of points into the kernel's values, given half of their squared lengths."""
    # Lower exponents end in numbers that processors are slow with, and mean nothing.
    products.sub_(half[:, None]).sub_(others_half).clamp_(-40, 0).exp_()


def low_rank(points: Tensor, rank: int) -> Tensor:
    """Give points features whose products are close to the Gaussian kernel.

    `points`: ``(n, d)`` float32; returns ``(n, rank)`` float32 (Williams & Seeger, *Using the
    Nyström method to speed up kernel machines*, NIPS 2000).
    """
    rank = min(rank, len(points))
    chosen = torch.linspace(0, len(points) - 1, rank).round().long()
    return _whiten(gaussian(points, points[chosen]), chosen)


def refine_at(features: Tensor, points: Tensor, chosen: Tensor) -> Tensor:
    """Add features that make the kernel exact between further points.

    `features`: ``(n, r)`` float32 (`low_rank`); `points`: ``(n, d)`` float32, that they were made
    of; `chosen`: ``(c,)`` int64, which points; returns ``(n, r + c)`` float32.
    """
    missing = gaussian(points, points[chosen]) - features @ features[chosen].T
    return torch.cat([features, _whiten(missing, chosen)], dim=1)


def _whiten(columns: Tensor, chosen: Tensor) -> Tensor:
    """Turn the chosen columns of a kernel, ``(n, c)``, into features."""
    among = columns[chosen].double()
    factor = torch.linalg.cholesky(among + _JITTER * torch.eye(len(chosen), dtype=among.dtype))
    rows: Tensor = torch.linalg.solve_triangular(factor.float(), columns.T, upper=False)
    return rows.T
