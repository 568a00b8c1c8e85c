"""Which pixels napari's brush covers along a stroke.

napari reports the pixels that a stroke changed. Painting over pixels that are right already says
"this is right" but changes and reports nothing, so the path of the brush is recorded as well.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def brushed(
    shape: Sequence[int],
    path: Sequence[Sequence[float]],
    size: float,
    scale: Sequence[float],
    axes: Sequence[int],
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Return the pixels that napari's brush covers along a path.

    Examples
    --------
    >>> box, covered = brushed((3, 5), [(1, 1), (1, 3)], 1, (1, 1), (0, 1))
    >>> box, covered.astype(int).tolist()
    ((slice(1, 2, None), slice(1, 4, None)), [[1, 1, 1]])
    """
    # As in napari's Labels.paint (0.7 to 0.9): half a pixel more than the radius, in units of the
    # smallest pixel among the painted axes.
    radius = np.floor(size / 2) + 0.5
    pixel = np.full(len(shape), np.inf)
    painted = list(axes)
    pixel[painted] = np.abs(np.asarray(scale, float))[painted]
    pixel[painted] /= pixel[painted].min()
    reach = np.floor(radius / pixel).astype(int)
    steps = [np.arange(-n, n + 1) for n in reach]
    spans = [step * (p if n else 0.0) for step, p, n in zip(steps, pixel, reach, strict=True)]
    ball = sum(span**2 for span in np.ix_(*spans)) <= radius**2

    centres = _centres(path, size)
    low = np.clip(centres.min(0) - reach, 0, shape)
    high = np.clip(centres.max(0) + reach + 1, low, shape)
    covered = np.zeros(high - low, bool)
    for centre in centres:
        first = np.maximum(centre - reach, low)
        last = np.minimum(centre + reach + 1, high)
        if (first < last).all():
            here = tuple(map(slice, first - low, last - low))
            covered[here] |= ball[tuple(map(slice, first - centre + reach, last - centre + reach))]
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), covered


def _centres(path: Sequence[Sequence[float]], size: float) -> NDArray[np.int_]:
    """Return the positions at which napari paints: four for each brush size."""
    points = np.asarray(path, float)
    found = [points[:1]]
    for start, end in itertools.pairwise(points):
        count = round(float(np.abs(end - start).max()) / size * 4)
        # A move that is too short for a step of its own paints at its start.
        found.append(np.linspace(start, end, count + 1)[min(count, 1) :])
    return np.unique(np.round(np.concatenate(found)).astype(int), axis=0)
