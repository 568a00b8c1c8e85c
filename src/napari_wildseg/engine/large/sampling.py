"""Labels of a large image, looked at from afar."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STRIP = 1024
"""Rows that are read at once: every chunk is decoded once."""


def sample_labels(labels: Any, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the labels of the pixels in the middle of the cells of a grid.

    `labels`: ``(H, W)`` uint8, anything that can be sliced; `shape`: ``(h, w)``: cells that tile
    the image; returns ``(h, w)`` uint8.
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
