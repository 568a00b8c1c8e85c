"""Corrections as observations on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Observations:
    """Corrected cells of a grid.

    Attributes
    ----------
    mask : torch.Tensor
        ``(gh, gw)`` bool: the cell holds a corrected pixel.
    targets : torch.Tensor
        ``(K + 1, gh, gw)`` float32: share of each class among the cell's corrected pixels.
    """

    mask: Tensor
    targets: Tensor


def observe(corrections: NDArray[np.int16], grid: tuple[int, int], n_classes: int) -> Observations:
    """Count corrected pixels cell by cell.

    Parameters
    ----------
    corrections : ndarray
        ``(H, W)`` int16, -1 = not corrected, else 0..K.
    grid : tuple of int
        ``(gh, gw)`` cells that tile the image.
    n_classes : int
        K.
    """
    rows, columns = np.nonzero(corrections >= 0)
    y = rows * grid[0] // corrections.shape[0]
    x = columns * grid[1] // corrections.shape[1]
    cell = (corrections[rows, columns].astype(np.int64) * grid[0] + y) * grid[1] + x
    flat = np.bincount(cell, minlength=(n_classes + 1) * grid[0] * grid[1])
    counts = torch.from_numpy(flat.reshape(n_classes + 1, *grid)).float()
    total = counts.sum(0)
    return Observations(total > 0, counts / total.clamp(min=1))
