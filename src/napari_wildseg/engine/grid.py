"""The grid on which views are merged and similar places are looked for."""

from __future__ import annotations

import math

GRID_SIDE = 72
"""Geometric mean of the grid's sides, in cells."""


def grid_of(shape: tuple[int, int], side: float) -> tuple[int, int]:
    """Return the grid of about ``side * side`` cells with an image's aspect ratio.

    Parameters
    ----------
    shape : tuple of int
        ``(H, W)`` of the image; the grid is never finer.
    side : float
        Geometric mean of the grid's sides.

    Examples
    --------
    >>> grid_of((480, 640), 72)
    (62, 83)
    """
    scale = min(1.0, side / math.sqrt(shape[0] * shape[1]))
    return max(2, round(shape[0] * scale)), max(2, round(shape[1] * scale))
