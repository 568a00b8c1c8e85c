"""Reaction to a script that replaces the pixels of an image, for example by a crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_wildseg.gui import notices
from napari_wildseg.gui.annotation.decisions import UNLABELLED
from napari_wildseg.gui.layers.display import Plane, level_array, level_shape

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.annotation.workspace import Workspace

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
    return np.asarray((one == two) | ((one != one) & (two != two)))


class ImagePixels:
    """Watches the arrays of the images that are worked on."""

    replaced = Signal(object)
    """An image layer holds another array; sent before anything is done about it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def watch(self, image: Image) -> None:
        """Follow changes of an image's array."""
        image.events.data.connect(self._on_data)

    def close(self) -> None:
        """Stop watching."""
        for session in self._workspace.sessions:
            if session.image is not None:
                session.image.events.data.disconnect(self._on_data)

    def _on_data(self, event: Any) -> None:
        workspace, image = self._workspace, event.source
        session = workspace.sessions.get(image)
        if session is None:
            return
        self.replaced.emit(image)
        old, session.array = session.array, level_array(image)
        if session.shape == level_shape(image):
            session.forget_encodings()
            if session.tracked:
                workspace.status.emit(
                    f"The pixels of {image.name} were replaced: the next run looks at the new "
                    "ones. Labels and corrections are as before."
                )
        elif session.tracked:
            self._replace_session(session, image, old)
        else:
            session.shape = level_shape(image)
            session.planes.clear()
            workspace.areas_changed.emit()

    def _replace_session(self, session: ImageSession, image: Image, old: Any) -> None:
        """Set labels of another shape aside, and offer the corrections that still fit."""
        workspace, shape = self._workspace, level_shape(image)
        session.settle()
        workspace.autosave.close(session)
        decided = session.all_decided()
        before, now = (" x ".join(map(str, s)) for s in (session.shape, shape))
        names = []
        for layer in session.label_layers():
            layer.name = f"{layer.name} ({before})"
            names.append(layer.name)
        place = place_in(old, session.array, colour=bool(image.rgb)) if decided else None
        new = workspace.sessions.replace_session(image)
        workspace.autosave.open(new, image)
        fit = 0 if place is None else new.keep_for_restore(carried(decided, place, shape))
        total = sum(int(np.count_nonzero(d != UNLABELLED)) for d in decided.values())
        offer = ""
        if fit:
            offer = f" Of {total:,} corrected pixels, {fit:,} still fit: see Restore above."
        elif total:
            offer = f" Of {total:,} corrected pixels, none still fits."
        workspace.classes_changed.emit()
        workspace.areas_changed.emit()
        workspace.notify(
            f"{image.name} is {now} now, not {before}: its labels do not fit any more and are left "
            f"as they are in {notices.join_names(names)}. Press Auto-segment to start anew.{offer}"
        )
