"""What a refinement may not change: pixels far from new strokes, and locked classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.corrections import NOT_CORRECTED
from napari_wildseg.engine.errors import InputError

LIMIT_SETTINGS = ("near", "locked")
"""Keys of a result's settings that say what limited it."""


@dataclass(frozen=True)
class Limits:
    """Limits of one refinement."""

    # Pixels farther than this from every painted pixel stay as they were, in pixels between their
    # centres.
    near: float | None = None
    locked: tuple[int, ...] = ()  # labels that lose no pixel and get none

    @classmethod
    def checked(
        cls, near: float | None, locked: Iterable[int | str], classes: Sequence[ClassInfo]
    ) -> Limits:
        """Check what a caller asks for."""
        if near is not None:
            number = isinstance(near, (int, float, np.number)) and not isinstance(near, bool)
            if not number or not 0 <= near < math.inf:
                raise InputError(
                    f"The distance from strokes is a number of pixels from 0, not {near!r}."
                )
            near = float(near)
        return cls(near, _ids_of(locked, classes))

    def __bool__(self) -> bool:
        return self.near is not None or bool(self.locked)

    def apply(
        self,
        before: NDArray[np.integer[Any]],
        after: NDArray[np.uint8],
        painted: NDArray[np.bool_] | None,
        corrections: NDArray[np.int16] | None = None,
    ) -> NDArray[np.uint8]:
        """Take back what a refinement may not change.

        `before`, `after`: ``(H, W)`` labels before and after the refinement; `painted`: ``(H, W)``
        bool, what was painted since the labels ``before`` were made; None for nothing;
        `corrections`: ``(H, W)`` int16, -1 = not corrected: pixels that the annotator decided;
        returns ``(H, W)`` uint8; ``after`` itself if there is no limit.
        """
        reached = None
        if self.near is not None and painted is not None:
            reached = within(painted, self.near)
        return self.take_back(before, after, reached, corrections)

    def take_back(
        self,
        before: NDArray[np.integer[Any]],
        after: NDArray[np.uint8],
        reached: NDArray[np.bool_] | None,
        corrections: NDArray[np.int16] | None = None,
    ) -> NDArray[np.uint8]:
        """As `apply`, where the pixels near strokes are known.

        `reached`: ``(H, W)`` bool, what is near enough to change; None for nothing; not used
        without a distance.
        """
        if not self:
            return after
        kept = np.zeros(after.shape, bool)
        if self.near is not None:
            kept |= True if reached is None else ~reached
        if self.locked:
            kept |= np.isin(before, self.locked) | np.isin(after, self.locked)
        if corrections is not None:
            kept &= corrections == NOT_CORRECTED
        return np.where(kept, before, after).astype(np.uint8)

    def to_settings(self) -> dict[str, Any]:
        """Return what a result's settings say of the limits; nothing where there are none."""
        found: dict[str, Any] = {} if self.near is None else {"near": self.near}
        return {**found, "locked": list(self.locked)} if self.locked else found


def within(painted: NDArray[np.bool_], near: float) -> NDArray[np.bool_]:
    """Mark the pixels that are at most a distance from painted ones.

    `painted`: ``(H, W)`` bool; returns ``(H, W)`` bool.
    """
    from scipy import ndimage

    found = np.zeros(painted.shape, bool)
    margin = math.ceil(min(near, sum(painted.shape)))
    strokes, _ = ndimage.label(painted, structure=np.ones((3, 3)))
    boxes = [_widened(box, margin, painted.shape) for box in ndimage.find_objects(strokes)]
    everything = [_widened(box, margin, painted.shape) for box in ndimage.find_objects(painted * 1)]
    # Stroke by stroke where strokes are few: a plane may be far larger than what is near them.
    if sum(map(_area, boxes)) > sum(map(_area, everything)):
        boxes = everything
    for box in boxes:
        found[box] |= ndimage.distance_transform_edt(~painted[box]) <= near
    return found


def new_strokes(
    corrections: NDArray[np.int16] | None, earlier: NDArray[np.int16] | None
) -> NDArray[np.bool_] | None:
    """Mark the pixels that were painted, or released, since an earlier refinement.

    `corrections`, `earlier`: ``(H, W)`` int16, -1 = not corrected; None for no correction at all;
    returns ``(H, W)`` bool; None if there never was a correction.
    """
    if corrections is None or earlier is None:
        one = earlier if corrections is None else corrections
        return None if one is None else one != NOT_CORRECTED
    return np.asarray(corrections != earlier)


def _ids_of(locked: Iterable[int | str], classes: Sequence[ClassInfo]) -> tuple[int, ...]:
    ids: dict[int | str, int] = {0: 0, "background": 0}
    for info in classes:
        ids[info.id] = ids[info.name] = info.id
    wanted = [locked] if isinstance(locked, str) else list(locked)
    for name in wanted:
        if name not in ids:
            names = ", ".join(info.name for info in classes)
            raise InputError(f"There is no class {name!r} to lock; the classes are: {names}.")
    return tuple(sorted({ids[name] for name in wanted}))


def _widened(box: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, shape, strict=True)
    )


def _area(box: tuple[slice, ...]) -> int:
    return math.prod(side.stop - side.start for side in box)
