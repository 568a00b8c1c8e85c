"""Corrections of objects: strokes that merge, split, draw and erase objects."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances.parts import box_of, depth_of

UNTOUCHED = -1
"""No stroke here."""

ERASED = 0
"""The pixel belongs to no object."""

CUT = -2
"""The pixel belongs to the object on one side; objects do not go on across it."""


class Strokes(NamedTuple):
    """Strokes by kind, each ``(H, W)``."""

    painted: NDArray[np.int32]  # UNTOUCHED, ERASED, CUT or the id of an object
    drawn: NDArray[np.bool_]  # pixels of objects that are exactly what was painted
    anchors: NDArray[np.int32]  # ids that the object here keeps, 0 where there are none

    @property
    def closed(self) -> NDArray[np.bool_]:
        """Pixels that the automatic split does not see."""
        return np.asarray((self.painted == ERASED) | (self.painted == CUT) | self.drawn)


def drawn_as(number: int) -> int:
    """Return the value of strokes for an object of exactly the painted pixels."""
    return -1 - 2 * number


def anchor_value(number: int) -> int:
    """Return the value of strokes for a pixel whose object keeps an id and is no other's."""
    return -2 - 2 * number


def strokes_by_kind(strokes: NDArray[np.int32]) -> Strokes:
    """Take the values of strokes apart."""
    coded = strokes < CUT
    numbers = np.where(coded, (-1 - strokes) // 2, 0).astype(np.int32)
    drawn = coded & (strokes % 2 != 0)
    painted = np.where(drawn, numbers, np.where(coded, UNTOUCHED, strokes)).astype(np.int32)
    return Strokes(painted, drawn, np.where(drawn, 0, numbers).astype(np.int32))


def ids_in(strokes: NDArray[Any]) -> set[int]:
    """Return the ids that occur in strokes, of any kind."""
    values = np.unique(strokes[strokes != UNTOUCHED]).tolist()
    return {v for v in values if v > 0} | {(-1 - v) // 2 for v in values if v < CUT}


def checked_strokes(strokes: object, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return strokes as int32, or raise `InputError`."""
    array = np.asarray(strokes)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise InputError(
            f"Strokes are {array.shape} {array.dtype}: give integers of the labels' shape {shape}."
        )
    if array.size and (int(array.min()) < -(2**31) or int(array.max()) >= 2**31):
        raise InputError("Strokes hold ids of objects and values below 0 in 32 bits.")
    return array.astype(np.int32)


def apply_strokes(
    parts: NDArray[np.int32], mask: NDArray[np.bool_], strokes: Strokes
) -> tuple[NDArray[np.int32], frozenset[int]]:
    """Merge, divide and overwrite objects as the strokes say.

    `parts`: ``(H, W)`` int32: automatic objects, 0 where strokes are closed; `mask`: ``(H, W)``
    bool: pixels of a class; returns ``(H, W)`` int32; ids of strokes as they are, other objects
    numbered above them.
    """
    painted = strokes.painted
    seeds = np.where(parts > 0, np.maximum(painted, strokes.anchors), 0)
    fixed = frozenset(np.unique(painted[painted > 0]).tolist()) | frozenset(
        np.unique(seeds[seeds > 0]).tolist()
    )
    above = max(fixed, default=0)
    out = np.where(parts > 0, parts + above, 0).astype(np.int32)
    touched = np.unique(np.stack([parts[seeds > 0], seeds[seeds > 0]], axis=1), axis=0)
    claims: dict[int, list[int]] = {}
    for part, number in touched.tolist():
        claims.setdefault(part, []).append(number)
    renamed = np.arange(int(parts.max(initial=0)) + 1) + above
    renamed[0] = 0
    for part, numbers in claims.items():
        if len(numbers) == 1:
            renamed[part] = numbers[0]
    out = renamed[parts].astype(np.int32)
    for part in (part for part, numbers in claims.items() if len(numbers) > 1):
        _divide(out, parts == part, seeds)
    decided = painted >= 0
    out[decided] = painted[decided]
    return _assign_cut_pixels(out, mask, painted), fixed


def _divide(out: NDArray[np.int32], inside: NDArray[np.bool_], seeds: NDArray[np.int32]) -> None:
    """Divide a part among the strokes in it, along its narrowest places."""
    from skimage.segmentation import watershed

    box = box_of(inside, 1)
    assert box is not None  # strokes lie in it
    part = inside[box]
    shares = watershed(-depth_of(part), np.where(part, seeds[box], 0), mask=part)
    out[box][part] = shares[part]


def _assign_cut_pixels(
    out: NDArray[np.int32], mask: NDArray[np.bool_], strokes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Give each pixel of a cut to the nearest object."""
    from scipy import ndimage

    cut = (strokes == CUT) & mask
    if not cut.any() or not out.any():
        return out
    rows, columns = np.nonzero(cut)
    margin = 16  # a cut is thin: its neighbours are near
    box = np.s_[
        max(int(rows.min()) - margin, 0) : int(rows.max()) + margin + 1,
        max(int(columns.min()) - margin, 0) : int(columns.max()) + margin + 1,
    ]
    near = out[box]
    if near.any():
        where = ndimage.distance_transform_edt(
            near == 0, return_distances=False, return_indices=True
        )
        near[cut[box]] = near[tuple(where)][cut[box]]
    return out
