"""Where the brush went.

napari reports the pixels a stroke changed. Painting over pixels that are right already says "this
is right", but changes and reports nothing; so the path of the brush is followed as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def brushed(
    shape: tuple[int, int], path: Sequence[tuple[float, float]], size: float
) -> NDArray[np.bool_]:
    """Return the pixels under a round brush moved along a path.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    path : sequence of (float, float)
        Rows and columns of the brush's centre; straight in between.
    size : float
        Diameter of the brush.

    Returns
    -------
    ndarray
        ``(H, W)`` bool.

    Examples
    --------
    >>> brushed((3, 5), [(1, 1), (1, 3)], 1).astype(int).tolist()
    [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    """
    region = np.zeros(shape, bool)
    radius = size / 2
    points = [np.asarray(point, float) for point in path]
    for start, end in zip(points, points[1:] or points, strict=False):
        low = np.floor(np.minimum(start, end) - radius).astype(int)
        high = np.ceil(np.maximum(start, end) + radius).astype(int) + 1
        top, left = np.clip(low, 0, shape)
        bottom, right = np.clip(high, 0, shape)
        rows, columns = np.mgrid[top:bottom, left:right]
        pixels = np.stack([rows, columns], -1)
        along = end - start
        length = float(along @ along)
        share = np.clip((pixels - start) @ along / length, 0, 1) if length else np.float64(0)
        nearest = start + np.asarray(share)[..., None] * along
        near = ((pixels - nearest) ** 2).sum(-1) <= radius**2
        region[top:bottom, left:right] |= near
    return region
