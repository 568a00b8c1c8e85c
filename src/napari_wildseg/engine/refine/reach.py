"""How far a dab speaks beyond its own pixels.

An annotator dabs the middle of what is wrong. So what is wrong reaches about as far as the nearest
place that already has the dab's label, and no farther than half way to a dab of another label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

MAX_DABS = 256
"""More strokes than that speak for their own pixels alone, the smallest first."""


@dataclass(frozen=True)
class Dabs:
    """The strokes of a correction map.

    Attributes
    ----------
    labels : ndarray
        ``(m,)`` int64.
    centres : ndarray
        ``(m, 2)`` float64, the innermost pixel of each.
    radii : ndarray
        ``(m,)`` float64, how far each speaks, in pixels.
    """

    labels: NDArray[np.int64]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]


def find_dabs(corrections: NDArray[np.int16], labels: NDArray[np.int64], farthest: float) -> Dabs:
    """Find the strokes of a correction map and how far each speaks.

    Parameters
    ----------
    corrections : ndarray
        ``(h, w)`` int16, -1 = not corrected. A stroke is an 8-connected region of one label.
    labels : ndarray
        ``(h, w)`` the result without corrections.
    farthest : float
        Upper limit of the radii, in pixels.

    Returns
    -------
    Dabs
        In the order of labels, then of reading.
    """
    found: list[tuple[int, int, float, float, float]] = []
    for value in np.unique(corrections[corrections >= 0]).tolist():
        strokes, count = ndimage.label(corrections == value, structure=np.ones((3, 3)))
        depth = ndimage.distance_transform_edt(np.pad(strokes > 0, 1))[1:-1, 1:-1]
        already = labels == value
        far = ndimage.distance_transform_edt(~already) if already.any() else None
        sizes = np.bincount(strokes.ravel())[1:]
        for size, (y, x) in zip(
            sizes.tolist(),
            ndimage.maximum_position(depth, strokes, np.arange(1, count + 1)),
            strict=True,
        ):
            radius = farthest if far is None else min(farthest, float(far[y, x]))
            found.append((value, size, float(y), float(x), radius))
    if len(found) > MAX_DABS:
        smallest_kept = sorted((dab[1] for dab in found), reverse=True)[MAX_DABS - 1]
        found = [dab for dab in found if dab[1] >= smallest_kept][:MAX_DABS]
    table = np.array(found, np.float64).reshape(-1, 5)
    values, centres, radii = table[:, 0].astype(np.int64), table[:, 2:4], table[:, 4]
    between = cdist(centres, centres)
    between[values[:, None] == values] = np.inf
    if len(found):
        radii = np.minimum(radii, between.min(1) / 2)
    return Dabs(values, centres, radii)


def shrink_labels(corrections: NDArray[np.int16], shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Bring a correction map to a lower resolution; no stroke is lost, though it may be thinned.

    Parameters
    ----------
    corrections : ndarray
        ``(H, W)`` int16, -1 = not corrected.
    shape : tuple of int
        ``(h, w)``, no larger. Where strokes meet in a cell, the highest label stays.
    """
    if corrections.shape == shape:
        return corrections
    small = np.full(shape, -1, np.int16)
    rows, columns = np.nonzero(corrections >= 0)
    y = rows * shape[0] // corrections.shape[0]
    x = columns * shape[1] // corrections.shape[1]
    np.maximum.at(small, (y, x), corrections[rows, columns])
    return small
