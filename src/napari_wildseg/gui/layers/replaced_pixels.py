"""What still fits when the pixels of an image are replaced: where the new ones lie in the old."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.layers.display import Plane

PROBES = 12
"""Pixels that are compared at every possible place, before those that are left are looked at."""

MOST_PLACES = 4_000_000
"""With more possible places than these only the same corner is tried: the window would wait."""


def place_in(old: object, new: object, *, colour: bool = False) -> tuple[int, ...] | None:
    """Find where new pixels lie in old ones, or the old ones in the new.

    Examples
    --------
    >>> image = np.arange(20).reshape(4, 5)
    >>> place_in(image, image[1:3, 2:])
    (1, 2)
    >>> place_in(image, np.stack([image * 0, image]))
    (-1, 0, 0)
    """
    if not isinstance(old, np.ndarray) or not isinstance(new, np.ndarray):
        return None
    ndim = max(old.ndim, new.ndim)
    a, b = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (old, new))
    if not a.size or not b.size or (colour and a.shape[-1] != b.shape[-1]):
        return None
    spare = np.subtract(a.shape, b.shape)
    common = np.minimum(a.shape, b.shape)
    fits = np.ones(np.abs(spare) + 1, bool)
    if fits.size > MOST_PLACES:
        return (0,) * (ndim - colour) if _same(a, b, (0,) * ndim, common) else None
    for probe in np.random.default_rng(0).integers(0, common, (PROBES, ndim)):
        # Along each axis one of the two is the longer, and its pixels are gone through.
        in_old = [p + np.arange(max(s, 0) + 1) for p, s in zip(probe, spare, strict=True)]
        in_new = [p + np.arange(max(-s, 0) + 1) for p, s in zip(probe, spare, strict=True)]
        fits &= _equal(a[np.ix_(*in_old)], b[np.ix_(*in_new)])
    signs = np.where(spare < 0, -1, 1)
    places = [tuple((signs * place).tolist()) for place in np.argwhere(fits)[:8]]
    found = [place for place in places if _same(a, b, place, common)]
    if len(found) == 1 or (found and not any(found[0])):
        return found[0][: ndim - colour]
    return None


def carried(
    decided: Mapping[Plane, NDArray[np.uint8]], place: tuple[int, ...], shape: tuple[int, ...]
) -> dict[Plane, NDArray[np.uint8]]:
    """Move decisions to where their pixels are now; those whose pixels are gone are left out.

    `decided`: ``(H, W)`` uint8 by plane of the image before, 255 where nothing was decided.
    """
    found: dict[Plane, NDArray[np.uint8]] = {}
    for plane, values in decided.items():
        rows, columns = np.nonzero(values != UNLABELLED)
        index = (*[0] * (len(place) - len(plane.index)), *plane.index)
        inside = iter((rows, columns))
        spots = [(next(inside) if i is None else i) - p for i, p in zip(index, place, strict=True)]
        lost = len(place) - len(shape)
        kept = np.ones(rows.shape, bool)
        for axis, spot in enumerate(spots):
            kept &= (np.asarray(spot) >= 0) & (np.asarray(spot) < ((1,) * lost + shape)[axis])
        if not kept.any():
            continue
        here = Plane(
            tuple(
                None if i is None else int(np.asarray(s))
                for i, s in zip(index[lost:], spots[lost:], strict=True)
            )
        )
        size = [n for n, i in zip(shape, here.index, strict=True) if i is None]
        out = np.full(size, UNLABELLED, np.uint8)
        where = [np.asarray(s)[kept] for s, i in zip(spots, index, strict=True) if i is None]
        out[tuple(where)] = values[rows[kept], columns[kept]]
        found[here] = out
    return found


def _same(a: NDArray[Any], b: NDArray[Any], place: tuple[int, ...], common: NDArray[Any]) -> bool:
    """Whether two arrays agree where they overlap."""
    one = a[tuple(slice(max(p, 0), max(p, 0) + n) for p, n in zip(place, common, strict=True))]
    two = b[tuple(slice(max(-p, 0), max(-p, 0) + n) for p, n in zip(place, common, strict=True))]
    return bool(_equal(one, two).all())


def _equal(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    """Compare by element; what is not a number equals itself here."""
    equal: NDArray[np.bool_] = (one == two) | ((one != one) & (two != two))
    return equal
