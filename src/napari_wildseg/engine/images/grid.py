"""The coarse grid on which views are merged and features are compared."""

import math

GRID_SIDE = 72
"""Geometric mean of the grid's sides, in cells."""


def grid_of(shape: tuple[int, int], side: float) -> tuple[int, int]:
    """Return a grid of about ``side * side`` cells with the image's aspect ratio.

    `shape`: ``(H, W)`` of the image. The grid is never finer than the image.

    Examples
    --------
    >>> grid_of((480, 640), 72)
    (62, 83)
    """
    scale = min(1.0, side / math.sqrt(shape[0] * shape[1]))
    height, width = max(2, round(shape[0] * scale)), max(2, round(shape[1] * scale))
    # The side of a very long image's grid is limited, since its short side has few cells.
    most = max(2, round(2 * side * side))
    return min(height, most // width or 2), min(width, most // height or 2)
