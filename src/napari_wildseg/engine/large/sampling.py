"""Subsampling of the labels of a large image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STRIP = 1024
"""Rows per read; a multiple of usual chunk sizes, so that each chunk is decoded once."""


def sample_labels(labels: Any, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the labels at the centres of the cells of a grid.

    `labels`: ``(H, W)`` uint8, any array that can be sliced; `shape`: ``(h, w)`` cells that tile
    the image. Returns ``(h, w)`` uint8.
    """
    rows, columns = (
        ((np.arange(n) + 0.5) * (size / n)).astype(int)
        for n, size in zip(shape, labels.shape, strict=True)
    )
    small = np.empty(shape, np.uint8)
    for top in range(0, labels.shape[0], _STRIP):
        there = (rows >= top) & (rows < top + _STRIP)
        if there.any():
            strip = np.asarray(labels[top : top + _STRIP])
            small[there] = strip[rows[there] - top][:, columns]
    return small
