"""Corrections and seeds as observations, on a grid or on superpixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED


@dataclass(frozen=True)
class Observations:
    """Corrected cells of a grid."""

    mask: Tensor  # ``(gh, gw)`` bool: the cell holds a corrected pixel
    # ``(K + 1, gh, gw)`` float32: share of each class among the cell's corrected pixels.
    targets: Tensor


def as_corrections(seeds: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Write pseudo-labels as corrections are written.

    `seeds`: ``(H, W)`` uint8, 0..K, 255 = not sure; returns ``(H, W)`` int16, 0..K, -1 = not sure.
    """
    return np.where(seeds == UNLABELLED, np.int16(-1), seeds.astype(np.int16))


def observe(corrections: NDArray[np.int16], grid: tuple[int, int], n_classes: int) -> Observations:
    """Count corrected pixels cell by cell.

    `corrections`: ``(H, W)`` int16, -1 = not corrected, else 0..K; `grid`: ``(gh, gw)`` cells that
    tile the image.
    """
    rows, columns = np.nonzero(corrections >= 0)
    y = rows * grid[0] // corrections.shape[0]
    x = columns * grid[1] // corrections.shape[1]
    cell = (corrections[rows, columns].astype(np.int64) * grid[0] + y) * grid[1] + x
    flat = np.bincount(cell, minlength=(n_classes + 1) * grid[0] * grid[1])
    counts = torch.from_numpy(flat.reshape(n_classes + 1, *grid)).float()
    total = counts.sum(0)
    return Observations(total > 0, counts / total.clamp(min=1))


def observe_superpixels(
    labels: NDArray[np.int16],
    index: NDArray[np.int64],
    sizes: NDArray[np.float32],
    n_labels: int,
) -> tuple[Tensor, Tensor]:
    """Return the shares of labels in superpixels.

    `labels`: ``(H, W)`` int16, -1 = no label, else below ``n_labels``; `index`: ``(h, w)`` int64:
    the superpixel of every pixel, at any resolution that tiles the image; `sizes`: ``(n,)``
    float32, in pixels of ``index``; returns ``(n, n_labels)`` float32: share of each label among
    the superpixel's labelled pixels; and ``(n,)`` float32: how much of the superpixel they cover.
    """
    counts = count_in_superpixels(labels, index, (len(sizes), n_labels))[0]
    return shares_of(counts, sizes * (labels.size / index.size))


def count_in_superpixels(
    labels: NDArray[np.int16],
    index: NDArray[np.int64],
    shape: tuple[int, int],
    groups: NDArray[np.int64] | None = None,
    n_groups: int = 1,
    weights: NDArray[np.float64] | None = None,
) -> Tensor:
    """Count labelled pixels by group, superpixel and label.

    `groups`: ``(h, w)`` int64 in 0..n_groups-1, beside ``index``; all in one group if not given;
    `weights`: ``(h, w)`` float64, beside ``index``: what a labelled pixel counts; 1 if not given;
    returns ``(n_groups, *shape)`` float32.
    """
    rows, columns = np.nonzero(labels >= 0)
    y = rows * index.shape[0] // labels.shape[0]
    x = columns * index.shape[1] // labels.shape[1]
    cell = index[y, x] * shape[1] + labels[rows, columns]
    if groups is not None:
        cell += groups[y, x] * (shape[0] * shape[1])
    each = None if weights is None else weights[y, x]
    counts = np.bincount(cell, weights=each, minlength=n_groups * shape[0] * shape[1])
    return torch.from_numpy(counts.reshape(n_groups, *shape)).float()


def shares_of(counts: Tensor, sizes: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Turn counts of one group into the result of `observe_superpixels`."""
    total = counts.sum(1)
    shares = counts / total.clamp(min=1e-6)[:, None]
    return shares, (total / torch.from_numpy(sizes)).clamp(max=1)
