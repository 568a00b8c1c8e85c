"""The random walk of `engine.refine.walk`, solved with a bounded range of influence.

The linear system is the same. It is solved by a fixed number of Chebyshev iterations with a Jacobi
preconditioner (Saad, *Iterative Methods for Sparse Linear Systems*, 2003, algorithm 12.1), for the
white squares of a checkerboard; the black squares follow from them. Conjugate gradients compute
their step lengths from sums over the whole image, so every pixel affects all others. Here the step
lengths are fixed, and a value depends only on cells at most `REACH` away. A tile with a margin of
that width therefore gives the result of the whole image, up to rounding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_wildseg.engine.refine.walk import Halved

_STEPS = 22
"""Number of iterations. Each propagates values from white squares to black and back, two cells."""

REACH = 2 * _STEPS + 2
"""Largest distance, in cells, at which a cell affects another. Even, so that margins of this width
keep the colours of the checkerboard."""

_LOWEST, _HIGHEST = 0.02, 1.0
"""Range of damped eigenvalues; smoother components stay as in the prior."""


def local_walk(
    prior: Tensor, trust: Tensor, edges: tuple[Tensor, Tensor], *, fixed: Tensor | None = None
) -> Tensor:
    """Solve the random walk with priors.

    `prior`: ``(K, H, W)`` float32, which is kept where ``fixed``; `trust`: ``(H, W)`` float32, at
    least 0; `fixed`: ``(H, W)`` bool. Returns ``(K, H, W)`` float32.
    """
    system = Halved(prior, prior, trust, edges, fixed)
    centre, radius = (_HIGHEST + _LOWEST) / 2, (_HIGHEST - _LOWEST) / 2
    sigma = centre / radius
    rho = 1 / sigma
    residual = system.residual
    change = torch.zeros_like(residual)
    direction, applied = residual / centre, torch.empty_like(residual)
    for _ in range(_STEPS - 1):
        change += direction
        residual -= system.apply(direction, applied)
        after_rho = 1 / (2 * sigma - rho)
        direction.mul_(after_rho * rho).add_(residual, alpha=2 * after_rho / radius)
        rho = after_rho
    return system.finish(change.add_(direction))


def undecided(leading: Tensor, corrected: Tensor | None = None) -> Tensor:
    """Return the cells whose label the walk may change: a border or a correction is in reach.

    `leading`: ``(H, W)`` integers, the most probable label of each cell; `corrected`: ``(H, W)``
    bool. Returns ``(H, W)`` bool.
    """
    labels = leading.numpy().astype(np.uint8)
    mixed = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    if corrected is not None:
        mixed |= corrected.numpy()
    # Separable square window.
    near: NDArray[np.uint8] = mixed.astype(np.uint8)
    for axis in (0, 1):
        near = ndimage.maximum_filter1d(near, 2 * REACH + 1, axis=axis, mode="constant")
    return torch.from_numpy(near > 0)
