"""How far a dab speaks beyond its own pixels.

An annotator dabs the middle of what is wrong. So what is wrong reaches about as far as the nearest
place that already had the dab's label when the annotator looked, and no farther than half way to a
dab of another label.
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
    """The strokes of a correction map, in the order of labels, then of reading."""

    labels: NDArray[np.int64]  # ``(m,)`` int64
    centres: NDArray[np.int64]  # ``(m, 2)`` int64, the innermost pixel of each
    depths: NDArray[np.float64]  # ``(m,)`` float64, how far that is from any pixel outside
    index: NDArray[np.int64]  # ``(h, w)`` int64: the stroke of every pixel, -1 where there is none

    def __len__(self) -> int:
        return len(self.labels)


def find_dabs(corrections: NDArray[np.int16]) -> Dabs:
    """Find the strokes of a correction map. `corrections`: ``(h, w)`` int16, -1 = not corrected."""
    index = np.full(corrections.shape, -1, np.int64)
    found: list[tuple[int, int, tuple[slice, ...]]] = []
    for value in np.unique(corrections[corrections >= 0]).tolist():
        strokes, count = ndimage.label(corrections == value, structure=np.ones((3, 3)))
        index[strokes > 0] = strokes[strokes > 0] + len(found) - 1
        sizes = np.bincount(strokes.ravel(), minlength=count + 1)[1:].tolist()
        boxes = ndimage.find_objects(strokes)
        found += [(value, size, box) for size, box in zip(sizes, boxes, strict=True)]
    by_size = np.argsort([-size for _, size, _ in found], kind="stable")
    kept = np.sort(by_size[:MAX_DABS]).astype(np.int64)
    inside = [_innermost(index[found[dab][2]] == dab, found[dab][2]) for dab in kept]
    number = np.full(len(found) + 1, -1)
    number[kept] = np.arange(len(kept))
    return Dabs(
        np.array([found[dab][0] for dab in kept], np.int64),
        np.array([centre for centre, _ in inside], np.int64).reshape(-1, 2),
        np.array([depth for _, depth in inside], np.float64),
        number[index],
    )


def _innermost(mask: NDArray[np.bool_], box: tuple[slice, ...]) -> tuple[tuple[int, int], float]:
    """Return the pixel of a region that is farthest from its edge, and how far.

    ``mask`` is cut to ``box``.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    centre = box[0].start + int(row), box[1].start + int(column)
    return centre, float(depth[row, column])


def find_reach(
    label: int, centre: NDArray[np.int64], labels: NDArray[np.int64], farthest: float
) -> float:
    """Say how far away the nearest place is that already has a dab's label.

    `centre`: ``(2,)`` int64, its innermost pixel; `labels`: ``(h, w)`` int64, the labels without
    it.
    """
    top, left = np.maximum(centre - int(farthest), 0)
    bottom, right = centre + int(farthest) + 1
    rows, columns = np.nonzero(labels[top:bottom, left:right] == label)
    if not len(rows):
        return farthest
    away = np.hypot(rows + (top - centre[0]), columns + (left - centre[1]))
    return min(farthest, float(away.min()))


def limit_radii(dabs: Dabs, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Limit each radius to half the distance to the nearest dab of another label."""
    between = cdist(dabs.centres, dabs.centres)
    between[dabs.labels[:, None] == dabs.labels] = np.inf
    half: NDArray[np.float64] = between.min(1, initial=np.inf) / 2
    return np.minimum(radii, half)


def shrink_labels(corrections: NDArray[np.int16], shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Bring a correction map to a lower resolution; no stroke is lost, though it may be thinned.

    `corrections`: ``(H, W)`` int16, -1 = not corrected; `shape`: ``(h, w)``, no larger.
    """
    if corrections.shape == shape:
        return corrections
    small = np.full(shape, -1, np.int16)
    rows, columns = np.nonzero(corrections >= 0)
    y = rows * shape[0] // corrections.shape[0]
    x = columns * shape[1] // corrections.shape[1]
    np.maximum.at(small, (y, x), corrections[rows, columns])
    return small
