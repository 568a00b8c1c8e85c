"""Which neighbouring parts are one object: by shape, and by the image where there is one.

Parts are joined one pair at a time, the pair with the least evidence for a border first, until
every border that is left has enough evidence. Every measure is a ratio, so that it means the same
for small and large objects and for dark and bright images:

* the neck: how much shallower the border is than the middle of the smaller part;
* the notch: how much the convex hull of both exceeds the hulls of each, per pixel of the smaller;
* the step: how far the mean colours of both middles are apart, in standard deviations;
* the edge: how much stronger the image's gradient is on the border than in both middles.
"""

import heapq
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.instances.parts import Contacts, contacts_of, find, peaks_of, renumbered

NECK, NOTCH, HOLLOW, STEP, EDGE = 5.5, 0.5, 14.0, 0.1, 0.5
"""Weights of the evidence; a border needs a sum of 1."""

_DARK = 2.0
"""Levels of grey that are added to deviations and gradients, so that flat images divide by
something."""


@dataclass
class _Part:
    """What is known of a part; sums, so that parts can be joined."""

    area: int
    peak: float
    hull: NDArray[np.float64]  # corners of the convex hull
    hull_area: float
    middle: NDArray[np.float64] | None  # pixels, sums, sums of squares, gradient of its middle
    borders: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    """By neighbour: greatest depth, pixels, sum of the gradient."""


def joined(
    parts: NDArray[np.int32], depth: NDArray[np.float32], image: NDArray[np.uint8] | None
) -> NDArray[np.int32]:
    """Join parts that are one object.

    `parts`: ``(H, W)`` int32, by `parts_of`; `depth`: ``(H, W)`` float32, by `depth_of`; `image`:
    ``(H, W, 3)`` uint8; without it the shape decides alone; returns ``(H, W)`` int32, numbered from
    1 in the order in which rows meet them.
    """
    contacts = contacts_of(parts)
    if not contacts.first.size:
        return renumbered(parts)
    flat = parts.ravel()
    pairs = np.stack([flat[contacts.first], flat[contacts.second]], axis=1)
    table = _measured(parts, depth, image, contacts, pairs)
    waiting = [
        (_evidence(table[a], table[b], border), a, b)
        for a in table
        for b, border in table[a].borders.items()
        if a < b
    ]
    heapq.heapify(waiting)
    count = int(parts.max()) + 1
    root = list(range(count))
    while waiting and waiting[0][0] < 1:
        _, a, b = heapq.heappop(waiting)
        if root[a] != a or root[b] != b:
            continue
        fresh = len(root)  # a joined pair gets a new number: older entries are out of date
        root.append(fresh)
        root[a] = root[b] = fresh
        table[fresh] = _united(table, a, b)
        for c, border in table[fresh].borders.items():
            near = table[c].borders
            near.pop(a, None)
            near.pop(b, None)
            near[fresh] = border
            heapq.heappush(waiting, (_evidence(table[fresh], table[c], border), c, fresh))
        del table[a], table[b]
    return renumbered(np.array([find(root, n) for n in range(count)])[parts])


def _evidence(one: _Part, other: _Part, border: NDArray[np.float64]) -> float:
    """Return how much speaks for a border between two parts; 1 is enough."""
    neck, pixels, gradient = border.tolist()
    _, together = hull_of(np.concatenate([one.hull, other.hull]))
    notch = (together - one.hull_area - other.hull_area) / min(one.area, other.area)
    # The shape of parts that are not convex says little about where objects end.
    hollow = 1 - min(one.area / one.hull_area, other.area / other.hull_area)
    evidence = NECK * (1 - neck / min(one.peak, other.peak))
    evidence += NOTCH * min(max(notch, -0.5), 0.5) - HOLLOW * max(hollow - 0.1, 0.0)
    if one.middle is not None and other.middle is not None:
        a, b = one.middle, other.middle
        means = a[1:4] / a[0], b[1:4] / b[0]
        squares = a[4] + b[4] - a[0] * (means[0] @ means[0]) - b[0] * (means[1] @ means[1])
        deviation = math.sqrt(max(squares, 0.0) / (a[0] + b[0])) + _DARK
        step = math.dist(*means) / deviation
        inside = (a[5] + b[5]) / (a[0] + b[0])
        edge = math.log((gradient / pixels + _DARK / 4) / (inside + _DARK / 4))
        evidence += STEP * min(step - 1, 3.0) + EDGE * min(max(edge, -1.0), 1.0)
    return float(evidence)


def _united(table: dict[int, _Part], a: int, b: int) -> _Part:
    """Return the part that two parts make together."""
    one, other = table[a], table[b]
    hull, area = hull_of(np.concatenate([one.hull, other.hull]))
    borders: dict[int, NDArray[np.float64]] = {}
    for c, border in [*one.borders.items(), *other.borders.items()]:
        if c in borders:
            known = borders[c]
            borders[c] = np.concatenate([np.maximum(known[:1], border[:1]), known[1:] + border[1:]])
        elif c not in (a, b):
            borders[c] = border
    middle = None if one.middle is None or other.middle is None else one.middle + other.middle
    return _Part(one.area + other.area, max(one.peak, other.peak), hull, area, middle, borders)


def _measured(
    parts: NDArray[np.int32],
    depth: NDArray[np.float32],
    image: NDArray[np.uint8] | None,
    contacts: Contacts,
    pairs: NDArray[np.int32],
) -> dict[int, _Part]:
    """Measure the parts that touch another, and their borders."""
    from scipy import ndimage

    flat, deep = parts.ravel(), depth.ravel()
    peaks = peaks_of(parts, depth)
    areas = np.bincount(flat)
    keys, inverse = np.unique(pairs, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    involved = np.unique(keys)
    middles = None
    borders = np.zeros((len(keys), 3))
    np.maximum.at(borders[:, 0], inverse, np.minimum(deep[contacts.first], deep[contacts.second]))
    borders[:, 1] = np.bincount(inverse, minlength=len(keys))
    if image is not None:
        colours, gradient = _colours_of(image)
        chosen = np.zeros(len(areas), bool)
        chosen[involved] = True
        middle = np.flatnonzero(chosen[flat] & (deep >= 0.5 * peaks[flat]))
        where, inside = flat[middle], colours[middle].astype(np.float64)
        columns = [np.ones(len(where)), *inside.T, (inside**2).sum(axis=1), gradient[middle]]
        middles = np.stack([np.bincount(where, each, len(areas)) for each in columns], axis=1)
        strength = (gradient[contacts.first] + gradient[contacts.second]) / 2
        borders[:, 2] = np.bincount(inverse, strength, len(keys))
    boxes = ndimage.find_objects(parts)
    table = {}
    for number in involved.tolist():
        rows, columns_ = boxes[number - 1]
        corners = _corners(parts[rows, columns_] == number, rows.start, columns_.start)
        hull, area = hull_of(corners)
        middle_of = None if middles is None else middles[number]
        table[number] = _Part(int(areas[number]), float(peaks[number]), hull, area, middle_of)
    for (a, b), border in zip(keys.tolist(), borders, strict=True):
        table[a].borders[b] = table[b].borders[a] = border
    return table


def _colours_of(image: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return smoothed colours ``(N, 3)`` and the strength of their gradient ``(N,)``."""
    from scipy import ndimage

    smooth = image.astype(np.float32)
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, [1 / 3] * 3, axis=axis, mode="nearest")
    squares = np.zeros(image.shape[:2], np.float32)
    for axis in (0, 1):
        if image.shape[axis] > 2:
            ahead, behind = [np.s_[2:], np.s_[:-2]], np.s_[1:-1]
            one, other = (each if axis == 0 else (slice(None), each) for each in ahead)
            inner = behind if axis == 0 else (slice(None), behind)
            difference = smooth[one] - smooth[other]
            squares[inner] += np.einsum("ijk,ijk->ij", difference, difference)
    return smooth.reshape(-1, 3), np.sqrt(squares).ravel() / 2


def _corners(inside: NDArray[np.bool_], top: int, left: int) -> NDArray[np.float64]:
    """Return the corners of the first and last pixel of each row."""
    rows = np.flatnonzero(inside.any(axis=1))
    lines = inside[rows]
    first = lines.argmax(axis=1) + left
    last = left + inside.shape[1] - lines[:, ::-1].argmax(axis=1)
    rows = rows + top
    across = np.concatenate([first, last, first, last])
    down = np.concatenate([rows, rows, rows + 1, rows + 1])
    return np.stack([down, across], axis=1).astype(np.float64)


def hull_of(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the convex hull of points and the area that a convex part with it would have.

    `points`: ``(N, 2)``, corners of pixels; not all on one line; returns ``(M, 2)``.
    """
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    return points[hull.vertices], float(hull.volume - 0.2 * hull.area)
