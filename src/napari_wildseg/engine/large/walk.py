"""The random walk of `engine.refine.walk`, solved so that a pixel's value has bounded reach.

The same linear system, by a fixed number of Chebyshev iterations with a Jacobi preconditioner
(Saad, *Iterative Methods for Sparse Linear Systems*, 2003, algorithm 12.1). Conjugate gradients
take their step lengths from sums over the whole image, so every pixel has a say in all others;
here the step lengths are known beforehand and a value depends on the cells at most `REACH` away.
A tile with a frame that wide therefore gives what the whole image would give, to the last bit or
nearly so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.refine.walk import degree_of

REACH = 46
"""Iterations, and how far a cell's value depends on others, in cells."""

_LOWEST, _HIGHEST = 0.01, 2.0
"""Range of eigenvalues that are damped; what varies more smoothly than that stays the prior."""


def local_walk(
    prior: Tensor, trust: Tensor, edges: tuple[Tensor, Tensor], *, fixed: Tensor | None = None
) -> Tensor:
    """Carry probabilities to the edges.

    Parameters
    ----------
    prior : torch.Tensor
        ``(K, H, W)`` float32; where ``fixed``, the value that is kept.
    trust : torch.Tensor
        ``(H, W)`` float32, at least 0.
    edges : tuple of torch.Tensor
        From `napari_wildseg.engine.refine.walk.edge_weights`.
    fixed : torch.Tensor, optional
        ``(H, W)`` bool.

    Returns
    -------
    torch.Tensor
        ``(K, H, W)`` float32.
    """
    down, right = edges
    degree = degree_of(trust, edges)
    # D^-1 A x = x - (the neighbours' values, weighted by these four)
    below, above = F.pad(down, (0, 0, 0, 1)) / degree, F.pad(down, (0, 0, 1, 0)) / degree
    after, before = F.pad(right, (0, 1)) / degree, F.pad(right, (1, 0)) / degree
    free = torch.ones_like(trust) if fixed is None else (~fixed).float()

    def apply(x: Tensor) -> Tensor:
        y = x.clone()
        y[:, :-1] -= below[:-1] * x[:, 1:]
        y[:, 1:] -= above[1:] * x[:, :-1]
        y[:, :, :-1] -= after[:, :-1] * x[:, :, 1:]
        y[:, :, 1:] -= before[:, 1:] * x[:, :, :-1]
        return y.mul_(free)

    centre, radius = (_HIGHEST + _LOWEST) / 2, (_HIGHEST - _LOWEST) / 2
    sigma = centre / radius
    rho = 1 / sigma
    x = prior.clone()
    residual = (trust / degree * prior).mul_(free) - apply(prior)
    direction = residual / centre
    for _ in range(REACH - 1):
        x += direction
        residual -= apply(direction)
        after_rho = 1 / (2 * sigma - rho)
        direction.mul_(after_rho * rho).add_(residual, alpha=2 * after_rho / radius)
        rho = after_rho
    return x.add_(direction)


def undecided(leading: Tensor, corrected: Tensor | None = None) -> Tensor:
    """Find the cells whose label the walk may change: a border or a correction is in reach.

    Parameters
    ----------
    leading : torch.Tensor
        ``(H, W)`` integers: the most probable label of each cell.
    corrected : torch.Tensor, optional
        ``(H, W)`` bool.

    Returns
    -------
    torch.Tensor
        ``(H, W)`` bool.
    """
    values = leading[None, None].float()
    highest = F.max_pool2d(values, 3, 1, 1)
    lowest = -F.max_pool2d(-values, 3, 1, 1)
    mixed = (highest != lowest).float()
    if corrected is not None:
        mixed = mixed.maximum(corrected[None, None].float())
    # A square window, one axis after the other.
    for side in ((2 * REACH + 1, 1), (1, 2 * REACH + 1)):
        mixed = F.max_pool2d(mixed, side, 1, (side[0] // 2, side[1] // 2))
    return mixed[0, 0] > 0
