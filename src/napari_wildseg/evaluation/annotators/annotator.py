"""Simulated annotators: each stroke corrects the largest region of wrong pixels.

They paint a dab, a stroke along the middle of the region, the whole region, or strokes with the
errors of a person (`person`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.evaluation.annotators.person import correct_slip, draw_stroke, is_slip
from napari_wildseg.evaluation.drops import Drops, lost_share
from napari_wildseg.evaluation.metrics import mean_iou

_RADIUS = 8
"""Radius of a dab, in pixels."""

_TARGET = 0.85
"""Mean IoU that ``noc85`` counts the dabs to."""


@dataclass(frozen=True)
class _Dab:
    """One touch of the brush.

    Attributes
    ----------
    row, column : int
        Its centre.
    """

    row: int
    column: int
    label: int  # what is painted
    pixels: NDArray[np.bool_]  # ``(H, W)`` bool, the pixels it changes
    # Whether most of it was painted beside the mistake, and the next one puts it right.
    slipped: bool = False


def next_dab(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    paintable: Iterable[int],
    *,
    radius: int = _RADIUS,
    annotator: str = "dab",
    number: int = 0,
    last: _Dab | None = None,
) -> _Dab | None:
    """Choose what an annotator would correct next.

    `truth`: ``(H, W)`` uint8, 255 ignored; `labels`: ``(H, W)`` uint8, the present result.

    Notes
    -----
    The largest region of wrong pixels is taken, a region being 8-connected pixels of one true
    class; among equals the one of the lowest label, then the first in reading order. Its innermost
    point is the one farthest from any pixel outside the region and from the image's border. An
    annotator does not paint over what is of another class, so what is painted covers pixels of the
    region's true class alone (whether right or wrong before). A ``"person"`` does (`person`).
    """
    if last is not None and last.slipped:
        righted = correct_slip(truth, last.label, last.pixels)
        if righted is not None and righted[0] in set(paintable):
            return _Dab(last.row, last.column, *righted)
    found = _worst(truth, labels, paintable)
    if found is None:
        return None
    value, region = found
    depth, row, column = _innermost(region)
    if annotator == "person":
        path = _middle_paths(region, depth, (row, column))[1]
        painted = draw_stroke(truth, value, path, number, radius)
        return _Dab(row, column, value, painted, is_slip(truth, number))
    painted = _CAREFUL[annotator](region, depth, (row, column), radius)
    return _Dab(row, column, value, painted & (truth == value))


def _dab(
    region: NDArray[np.bool_], _depth: NDArray[np.float64], middle: tuple[int, int], radius: int
) -> NDArray[np.bool_]:
    """Paint a disc around the innermost point."""
    rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
    return np.asarray((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2)


def _stroke(
    region: NDArray[np.bool_], depth: NDArray[np.float64], middle: tuple[int, int], radius: int
) -> NDArray[np.bool_]:
    """Paint along the middle of the region."""
    from scipy import ndimage

    line = np.zeros_like(region)
    for path in _middle_paths(region, depth, middle):
        line[tuple(path.T)] = True
    return np.asarray(ndimage.distance_transform_edt(~line) <= radius)


def _middle_paths(
    region: NDArray[np.bool_], depth: NDArray[np.float64], middle: tuple[int, int]
) -> list[NDArray[np.int64]]:
    """Find two paths along the middle of a region, each ``(n, 2)`` pixels in order.

    The middle is the skeleton where its depth is at least 0.4 times that of the innermost point.
    The first path leads from the innermost point to the farthest end inside the region, the second
    from there to the end farthest from it.
    """
    from skimage.graph import MCP
    from skimage.morphology import skeletonize

    ridge = skeletonize(region) & (depth >= 0.4 * depth[middle])
    ridge[middle] = True
    # Steps near the edge of the region cost more, so that the path stays in the middle.
    costs = np.where(region, 1 + 20 / (depth + 0.5) ** 2, -1)
    found = []
    start = middle
    for _ in range(2):
        paths = MCP(costs, fully_connected=True)
        away, _ = paths.find_costs([start])
        away = np.where(ridge & np.isfinite(away), away, -1)
        row, column = np.unravel_index(int(away.argmax()), away.shape)
        start = (int(row), int(column))
        found.append(np.array(paths.traceback(start), np.int64))
    return found


def _fill(
    region: NDArray[np.bool_], _depth: NDArray[np.float64], _middle: tuple[int, int], _radius: int
) -> NDArray[np.bool_]:
    """Paint exactly the region."""
    return region


_CAREFUL = {"dab": _dab, "stroke": _stroke, "fill": _fill}
"""Annotators that paint without errors, by name."""

_ANNOTATORS = (*_CAREFUL, "person")
"""Names of the simulated annotators."""


def check_annotator(name: str) -> None:
    """Refuse a name that is none of `_ANNOTATORS`."""
    if name not in _ANNOTATORS:
        raise InputError(f'The annotator is "dab", "stroke", "fill" or "person", not "{name}".')


def _worst(
    truth: NDArray[np.uint8], labels: NDArray[np.uint8], paintable: Iterable[int]
) -> tuple[int, NDArray[np.bool_]] | None:
    """Return the true class of the largest region of wrong pixels, and the region."""
    from scipy import ndimage

    wrong = (truth != labels) & (truth != UNLABELLED)
    best: tuple[int, int, NDArray[np.bool_]] | None = None
    for value in sorted(set(paintable)):
        of_class = wrong & (truth == value)
        if best is not None and np.count_nonzero(of_class) <= best[0]:
            continue
        regions, count = ndimage.label(of_class, structure=np.ones((3, 3)))
        if count:
            sizes = np.bincount(regions.ravel())[1:]
            if best is None or sizes.max() > best[0]:
                largest = int(sizes.argmax())
                best = (int(sizes[largest]), value, regions == largest + 1)
    return None if best is None else best[1:]


def _innermost(region: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int, int]:
    """Return the distance of each pixel to the outside, and the row and column of the largest."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = (int(i) for i in np.unravel_index(int(depth.argmax()), depth.shape))
    return depth, row, column


def simulate(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    classes: list[int],
    refine: Callable[[NDArray[np.int16]], NDArray[np.uint8]],
    *,
    clicks: int,
    radius: int = _RADIUS,
    annotator: str = "dab",
    drops: Drops | None = None,
) -> tuple[list[float], NDArray[np.uint8]]:
    """Let the simulated annotator correct an image.

    `truth`: ``(H, W)`` uint8, 255 ignored; `labels`: ``(H, W)`` uint8, the result before any
    correction.
    """
    corrections = np.full(truth.shape, -1, np.int16)
    scores = [mean_iou(truth, labels, classes)]
    dab = None
    for number in range(clicks):
        dab = next_dab(
            truth,
            labels,
            [0, *classes],
            radius=radius,
            annotator=annotator,
            number=number,
            last=dab,
        )
        if dab is None:
            break
        corrections[dab.pixels] = dab.label
        before, labels = labels, refine(corrections.copy())
        scores.append(mean_iou(truth, labels, classes))
        if drops is not None:
            change = scores[-1] - scores[-2]
            drops.add(change, lost_share(truth, before, labels, dab.label))
    scores += [scores[-1]] * (clicks + 1 - len(scores))
    return scores, labels


def dabs_to(scores: list[float], target: float = _TARGET) -> int:
    """Return after how many dabs the target is first reached; ``len(scores)`` if never.

    Examples
    --------
    >>> dabs_to([0.2, 0.9, 0.8]), dabs_to([0.2, 0.3, 0.4])
    (1, 3)
    """
    return next((n for n, score in enumerate(scores) if score >= target), len(scores))
