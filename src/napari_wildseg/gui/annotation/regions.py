"""Regions of a label plane."""

import numpy as np
from numpy.typing import NDArray


def region_at(labels: NDArray[np.integer], spot: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the connected region of one label around a pixel.

    `labels`: ``(H, W)`` integers; returns ``(H, W)`` bool; pixels that touch at a corner are not
    connected.

    Examples
    --------
    >>> region_at(np.array([[1, 0, 1], [1, 0, 0]]), (0, 0)).astype(int).tolist()
    [[1, 0, 0], [1, 0, 0]]
    """
    from scipy import ndimage

    parts, _ = ndimage.label(labels == labels[spot])
    region: NDArray[np.bool_] = parts == parts[spot]
    return region
