"""What is known of each object: class, area, centroid, box, perimeter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import InputError

COLUMNS = (
    "id",
    "class_id",
    "class",
    "area",
    "centroid_y",
    "centroid_x",
    "box_top",
    "box_left",
    "box_bottom",
    "box_right",
    "perimeter",
)
"""Columns of a table of one plane; a table of a stack begins with ``"plane"``."""


def classes_of(
    ids: NDArray[np.int32], labels: NDArray[np.uint8], *, nearest: bool = False
) -> dict[int, int]:
    """Return the class of each object: the one most of its pixels have, 0 if none has any.

    With ``nearest``, an object outside all classes has the class nearest to it.
    """
    numbers = np.unique(ids[ids > 0])
    place = np.searchsorted(numbers, ids[ids > 0])
    counts = np.bincount(place * 256 + labels[ids > 0], minlength=256 * len(numbers))
    counts = counts.reshape(-1, 256)
    counts[:, [0, UNLABELLED]] = 0
    best = np.where(counts.any(axis=1), counts.argmax(axis=1), 0)
    if nearest and (best == 0).any():
        from scipy import ndimage

        known = (labels > 0) & (labels != UNLABELLED)
        if known.any():
            away, where = ndimage.distance_transform_edt(~known, return_indices=True)
            for row in np.flatnonzero(best == 0).tolist():
                body = np.where(ids == numbers[row], away, np.inf)
                closest = np.unravel_index(int(body.argmin()), body.shape)
                best[row] = labels[tuple(axis[closest] for axis in where)]
    return dict(zip(numbers.tolist(), best.tolist(), strict=True))


def table_of(
    ids: NDArray[np.int32],
    class_of: Mapping[int, int],
    classes: Sequence[ClassInfo],
    scale: Sequence[float] = (1.0, 1.0),
) -> dict[str, NDArray[Any]]:
    """Measure the objects of a plane. `ids`: ``(H, W)`` int32."""
    from skimage.measure import regionprops_table

    height, width = (float(each) for each in scale)
    if not height > 0 or not width > 0:
        raise InputError(f"The pixel size is {height} x {width}: give two positive numbers.")
    wanted = ("label", "area", "centroid", "bbox", "perimeter")
    # A perimeter needs square pixels: elsewhere it is measured at the geometric mean.
    found = regionprops_table(ids, properties=wanted)
    names = {info.id: info.name for info in classes}
    numbers = found["label"].astype(np.int64)
    kinds = np.array([class_of.get(n, 0) for n in numbers.tolist()], np.int64)
    return {
        "id": numbers,
        "class_id": kinds,
        "class": np.array([names.get(k, "") for k in kinds.tolist()], dtype=object),
        "area": found["area"] * height * width,
        "centroid_y": found["centroid-0"] * height,
        "centroid_x": found["centroid-1"] * width,
        "box_top": found["bbox-0"] * height,
        "box_left": found["bbox-1"] * width,
        "box_bottom": found["bbox-2"] * height,
        "box_right": found["bbox-3"] * width,
        "perimeter": found["perimeter"] * (height * width) ** 0.5,
    }
