"""The random walk of `engine.refine.walk`, solved so that a pixel's value has bounded reach.

The same linear system, by a fixed number of Chebyshev iterations with a Jacobi preconditioner
(Saad, *Iterative Methods for Sparse Linear Systems*, 2003, algorithm 12.1), for the white squares
of a checkerboard, from which the black ones follow. Conjugate gradients take their step lengths
from sums over the whole image, so every pixel has a say in all others; here the step lengths are
known beforehand and a value depends on the cells at most `REACH` away. A tile with a frame that
wide therefore gives what the whole image would give, to the last bit or nearly so.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_wildseg.engine.refine.walk import Halved

_STEPS = 22
"""Iterations. Each hands values on from white squares to black ones and back, over two cells."""

REACH = 2 * _STEPS + 2
"""How far a cell's value depends on others at most, in cells: a black square hears of its
neighbours. Even, so that frames of this width keep the squares' colours."""

_LOWEST, _HIGHEST = 0.02, 1.0
"""Range of eigenvalues that are damped; what varies more smoothly than that stays the prior."""


def local_walk(
    prior: Tensor, trust: Tensor, edges: tuple[Tensor, Tensor], *, fixed: Tensor | None = None
) -> Tensor:
    """Carry probabilities to the edges.

    `prior`: ``(K, H, W)`` float32; where ``fixed``, the value that is kept; `trust`: ``(H, W)``
    float32, at least 0; `fixed`: ``(H, W)`` bool; returns ``(K, H, W)`` float32.
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
    """Find the cells whose label the walk may change: a border or a correction is in reach.

    `leading`: ``(H, W)`` integers: the most probable label of each cell; `corrected`: ``(H, W)``
    bool; returns ``(H, W)`` bool.
    """
    labels = leading.numpy().astype(np.uint8)
    mixed = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    if corrected is not None:
        mixed |= corrected.numpy()
    # A square window, one axis after the other.
    near: NDArray[np.uint8] = mixed.astype(np.uint8)
    for axis in (0, 1):
        near = ndimage.maximum_filter1d(near, 2 * REACH + 1, axis=axis, mode="constant")
    return torch.from_numpy(near > 0)
