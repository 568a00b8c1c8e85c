"""A simulated annotator, who paints over the worst mistake, again and again.

With a dab each time, with a stroke along the middle of the mistake, or over all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.evaluation.metrics import mean_iou

RADIUS = 8
"""Radius of a dab, in pixels."""

TARGET = 0.85
"""The mean IoU that ``noc85`` counts dabs to."""


@dataclass(frozen=True)
class Dab:
    """One touch of the brush.

    Attributes
    ----------
    row, column : int
        Its centre.
    label : int
        What is painted.
    pixels : ndarray
        ``(H, W)`` bool, the pixels it changes.
    """

    row: int
    column: int
    label: int
    pixels: NDArray[np.bool_]


def next_dab(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    paintable: Iterable[int],
    *,
    radius: int = RADIUS,
) -> Dab | None:
    """Choose what an annotator would correct next.

    Parameters
    ----------
    truth : ndarray
        ``(H, W)`` uint8, 255 ignored.
    labels : ndarray
        ``(H, W)`` uint8, the present result.
    paintable : iterable of int
        Label values the annotator has at hand. Mistakes on pixels of other classes are left.
    radius : int
        Of the dab.

    Returns
    -------
    Dab or None
        None if nothing paintable is wrong.

    Notes
    -----
    The largest region of wrong pixels is taken, a region being 8-connected pixels of one true
    class; among equals the one of the lowest label, then the first in reading order. The dab is
    a disc about its innermost point, the one farthest from any pixel outside the region and from
    the image's border. An annotator does not paint over what is of another class, so the disc
    covers pixels of the region's true class alone (whether right or wrong before).
    """
    found = _worst(truth, labels, paintable)
    if found is None:
        return None
    value, region = found
    row, column, _ = _innermost(region)
    rows, columns = np.ogrid[: truth.shape[0], : truth.shape[1]]
    disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return Dab(row, column, value, disc & (truth == value))


def next_stroke(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    paintable: Iterable[int],
    *,
    radius: int = RADIUS,
) -> Dab | None:
    """Choose what an annotator would correct next with a stroke instead of a dab.

    Parameters
    ----------
    truth, labels, paintable, radius
        As for `next_dab`, whose mistake it is.

    Returns
    -------
    Dab or None
        None if nothing paintable is wrong.

    Notes
    -----
    The brush goes along the middle of the mistake, its skeleton where it is at least 0.4 times as
    deep as at its innermost point: from there to the end that is farthest away inside the
    mistake, and on from that to the end farthest from it.
    """
    from scipy import ndimage
    from skimage.graph import MCP
    from skimage.morphology import skeletonize

    found = _worst(truth, labels, paintable)
    if found is None:
        return None
    value, region = found
    row, column, depth = _innermost(region)
    ridge = skeletonize(region) & (depth >= 0.4 * depth[row, column])
    ridge[row, column] = True
    # Steps near the edge of the mistake cost more, so that the brush keeps to its middle.
    costs = np.where(region, 1 + 20 / (depth + 0.5) ** 2, -1)
    line = np.zeros_like(region)
    start = (row, column)
    for _ in range(2):
        paths = MCP(costs, fully_connected=True)
        away, _ = paths.find_costs([start])
        away = np.where(ridge & np.isfinite(away), away, -1)
        end_row, end_column = np.unravel_index(int(away.argmax()), away.shape)
        start = (int(end_row), int(end_column))
        line[tuple(np.transpose(paths.traceback(start)))] = True
    near = ndimage.distance_transform_edt(~line) <= radius
    return Dab(row, column, value, near & (truth == value))


def next_fill(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    paintable: Iterable[int],
    *,
    radius: int = RADIUS,
) -> Dab | None:
    """Choose what an annotator would correct next by painting all of it, pixel by pixel.

    Parameters
    ----------
    truth, labels, paintable
        As for `next_dab`, whose mistake it is.
    radius : int
        Not used.

    Returns
    -------
    Dab or None
        None if nothing paintable is wrong.
    """
    found = _worst(truth, labels, paintable)
    if found is None:
        return None
    value, region = found
    row, column, _ = _innermost(region)
    return Dab(row, column, value, region)


ANNOTATORS = {"dab": next_dab, "stroke": next_stroke, "fill": next_fill}
"""Ways of correcting, by name."""


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


def _innermost(region: NDArray[np.bool_]) -> tuple[int, int, NDArray[np.float64]]:
    """Return the pixel farthest from any outside the region, and how far each of them is."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, column = (int(i) for i in np.unravel_index(int(depth.argmax()), depth.shape))
    return row, column, depth


def simulate(
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    classes: list[int],
    refine: Callable[[NDArray[np.int16]], NDArray[np.uint8]],
    *,
    clicks: int,
    radius: int = RADIUS,
    annotator: str = "dab",
) -> tuple[list[float], NDArray[np.uint8]]:
    """Let the simulated annotator correct an image.

    Parameters
    ----------
    truth : ndarray
        ``(H, W)`` uint8, 255 ignored.
    labels : ndarray
        ``(H, W)`` uint8, the result before any correction.
    classes : list of int
        Foreground label values of the image; background can be painted as well.
    refine : callable
        ``corrections (H, W) int16 -> labels (H, W) uint8``; all dabs so far are in it.
    clicks : int
        How many dabs at most.
    radius : int
        Of the brush.
    annotator : str
        One of `ANNOTATORS`.

    Returns
    -------
    scores : list of float
        Mean IoU over ``classes`` after 0, 1, ..., ``clicks`` dabs. Once nothing is wrong, the
        last figure is repeated.
    labels : ndarray
        The last result.
    """
    corrections = np.full(truth.shape, -1, np.int16)
    scores = [mean_iou(truth, labels, classes)]
    for _ in range(clicks):
        dab = ANNOTATORS[annotator](truth, labels, [0, *classes], radius=radius)
        if dab is None:
            break
        corrections[dab.pixels] = dab.label
        labels = refine(corrections.copy())
        scores.append(mean_iou(truth, labels, classes))
    scores += [scores[-1]] * (clicks + 1 - len(scores))
    return scores, labels


def dabs_to(scores: list[float], target: float = TARGET) -> int:
    """Return after how many dabs the target is first reached; ``len(scores)`` if never.

    Parameters
    ----------
    scores : list of float
        After 0, 1, ... dabs.
    target : float
        The score asked for.

    Examples
    --------
    >>> dabs_to([0.2, 0.9, 0.8]), dabs_to([0.2, 0.3, 0.4])
    (1, 3)
    """
    return next((n for n, score in enumerate(scores) if score >= target), len(scores))
