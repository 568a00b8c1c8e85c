"""What was painted over objects, as strokes that every later split obeys."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.instances.object_strokes import (
    CUT,
    ERASED,
    UNTOUCHED,
    anchor_value,
    drawn_as,
    ids_in,
)
from napari_wildseg.engine.instances.parts import box_of

SLIVER = 9
"""Pieces of fewer pixels, and of a twentieth of the largest piece, go with the cut."""


def record(
    strokes: NDArray[np.int32],
    objects: NDArray[np.int32],
    painted: NDArray[np.int32],
    *,
    cut: bool = False,
    first_new: int = 1,
) -> NDArray[np.int32]:
    """Add what was painted over objects to the strokes.

    An id that was there merges every object it touches into its own. A new id is an object of
    exactly the painted pixels. Zero erases, or with ``cut`` only divides. Where an object falls
    into pieces, the largest keeps the id and the others get new ones, also where earlier strokes
    had merged them; pieces and their neighbours are anchored, so that they stay apart.

    `strokes`: ``(H, W)`` int32: those of before; `objects`: ``(H, W)`` int32: what was shown;
    `painted`: ``(H, W)`` int32: what is shown after painting; `first_new`: ids of pieces are not
    below it; returns ``(H, W)`` int32: strokes for `split` and `update`.

    Examples
    --------
    >>> strokes, objects = np.full((1, 5), -1, np.int32), np.array([[1, 1, 0, 2, 2]], np.int32)
    >>> record(strokes, objects, np.array([[1, 1, 1, 1, 2]], np.int32)).tolist()
    [[-4, -4, 1, 1, -1]]
    """
    changed = painted != objects
    out = strokes.copy()
    known = ids_in(objects) | ids_in(strokes)
    values = np.unique(painted[changed]).tolist()
    number = max(first_new - 1, *known, *values, 0)
    opened: set[int] = set()
    for value in values:
        here = changed & (painted == value)
        below = set(np.unique(objects[here]).tolist()) - {0, value}
        if value == 0:
            out[here] = CUT if cut else ERASED
            opened |= below
        elif value in known:
            out[here] = value
            for other in below:
                _rename(out, other, value)
            _anchor_all(out, objects, changed, {value})
        else:
            covered = {o for o in below if not ((objects == o) & ~here).any()}
            out[here] = value if covered == below else drawn_as(value)
            opened |= below - covered
            for other in covered:
                _rename(out, other, value)
    for each in sorted(opened):
        number = _separate(out, objects, changed, each, number)
    return out


def _rename(strokes: NDArray[np.int32], old: int, new: int) -> None:
    """Give strokes of one id another, of every kind."""
    for kind in (int, drawn_as, anchor_value):
        strokes[strokes == kind(old)] = kind(new)


def _separate(
    strokes: NDArray[np.int32],
    objects: NDArray[np.int32],
    changed: NDArray[np.bool_],
    each: int,
    number: int,
) -> int:
    """Tell the pieces apart into which an object falls; return the last id that was given."""
    from scipy import ndimage

    body = objects == each
    box = box_of(body, 1)
    assert box is not None  # it is an object that was painted over
    own, whole, ids = strokes[box], body[box], objects[box]
    gone = changed[box] & whole
    regions, _ = ndimage.label(whole)
    pieces, count = ndimage.label(whole & ~gone)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    mark = own[gone][0]  # a sliver becomes what its stroke is: nobody's, or a neighbour's
    of_region: dict[int, list[int]] = {}
    for piece in range(1, count + 1):
        region = int(regions[pieces == piece][0])
        of_region.setdefault(region, []).append(piece)
    for found in of_region.values():
        found.sort(key=lambda piece: (-sizes[piece], piece))
        for place, piece in enumerate(found):
            inside = pieces == piece
            size = sizes[piece]
            if place and mark in (CUT, ERASED) and size < SLIVER and 20 * size < sizes[found[0]]:
                own[inside] = mark
                continue
            name = each
            if place:
                number += 1
                name = number
                part = own[inside]
                _rename(part, each, name)
                own[inside] = part
            _anchor(own, inside, name)
    near = np.unique(ids[ndimage.binary_dilation(whole)]).tolist()
    _anchor_all(strokes, objects, changed, set(near) - {0, each})
    return number


def _anchor_all(
    strokes: NDArray[np.int32],
    objects: NDArray[np.int32],
    changed: NDArray[np.bool_],
    numbers: Iterable[int],
) -> None:
    """Anchor objects as they are."""
    for each in sorted(numbers):
        body = (objects == each) & ~changed
        if (box := box_of(body, 1)) is not None:
            _anchor(strokes[box], body[box], each)


def _anchor(strokes: NDArray[np.int32], inside: NDArray[np.bool_], number: int) -> None:
    """Have an object keep its id wherever its pixels stay labelled."""
    strokes[inside & (strokes == UNTOUCHED)] = anchor_value(number)
