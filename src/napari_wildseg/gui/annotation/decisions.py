"""What the annotator decided in a plane, worked out on any thread.

The time grows with the pixels of a plane, so the GUI thread only takes a `PlaneSnapshot`. The
worker makes a `Plan` of it, which the GUI thread writes if nothing changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED as UNLABELLED
from napari_wildseg.engine.errors import InputError


def region_at(labels: NDArray[np.integer], spot: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the connected region of one label around a pixel.

    `labels`: ``(H, W)`` integers; returns ``(H, W)`` bool; pixels that touch at a corner are not
    connected.

    Examples
    --------
    >>> region_at(np.array([[1, 0, 1], [1, 0, 0]]), (0, 0)).astype(int).tolist()
    [[1, 0, 0], [1, 0, 0]]
    """
    from scipy import ndimage

    parts, _ = ndimage.label(labels == labels[spot])
    return np.asarray(parts == parts[spot])


_PROBES = 64
"""Pixels that are compared first, since most comparisons fail."""


def _no_pixels() -> NDArray[np.integer]:
    return np.zeros(0, np.uint32)


LABELS, PSEUDO = "labels", "pseudo"
"""The two label layers of an image, as keys."""


@dataclass(frozen=True)
class Patch:
    """The pixels in which two arrays of one shape differ."""

    where: NDArray[np.integer]
    """Flat indices, in four bytes each where they fit."""
    before: NDArray[np.integer]
    after: NDArray[np.integer]

    @classmethod
    def between(cls, before: NDArray[np.integer], after: NDArray[np.integer]) -> Patch:
        """Return what turns one array into the other."""
        changed = before != after
        where: NDArray[np.integer] = np.flatnonzero(changed)
        if before.size < 2**32:
            where = where.astype(np.uint32)  # a history of large results is long enough as it is
        return cls(where, before[changed], after[changed])

    def applied(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of an array with the new values."""
        return self._with(array, self.after)

    def reverted(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of an array with the old values."""
        return self._with(array, self.before)

    def is_applied(self, array: NDArray[np.integer]) -> bool:
        """Whether the array holds the new value at every pixel."""
        return self._holds(array, self.after)

    def is_reverted(self, array: NDArray[np.integer]) -> bool:
        """Whether the array holds the old value at every pixel."""
        return self._holds(array, self.before)

    def _with(self, array: NDArray[Any], values: NDArray[np.integer]) -> NDArray[Any]:
        if not self.where.size:
            return array
        out = array.copy()
        out.ravel()[self.where] = values
        return out

    def _holds(self, array: NDArray[np.integer], values: NDArray[np.integer]) -> bool:
        # Called after every change of a layer and nearly always False: one pixel is enough.
        if self.where.size:
            row, column = divmod(int(self.where[0]), array.shape[1])
            if array[row, column] != values[0]:
                return False
        few = slice(None, None, max(1, len(self.where) // _PROBES))
        for part in (few, slice(None)):
            rows, columns = np.divmod(self.where[part], array.shape[1])
            if not (array[rows, columns] == values[part]).all():
                return False
        return True


@dataclass(frozen=True)
class Step:
    """One automatic write: what it did to the layer, the baseline and the kept corrections."""

    pixels: Patch
    baseline: Patch
    kept: Patch
    confirmed: NDArray[np.integer] = field(default_factory=_no_pixels)
    """What was confirmed since the result before, as in `PlaneSnapshot`."""


@dataclass(frozen=True)
class PlaneSnapshot:
    """State of a plane of a label layer at one moment; never modified."""

    # ``(H, W)`` integers: what the layer holds; a copy, if it is to be used later.
    data: NDArray[np.integer]
    baseline: NDArray[Any]  # ``(H, W)`` uint8: the last automatic result, decisions in place
    # ``(H, W)`` uint8: decisions that `data` does not show, 255 where there are none.
    kept: NDArray[Any]
    # Whether writing a result is an undo step; not in a layer that was never visible.
    leaves_step: bool = True
    there: bool = True  # whether there is such a layer yet
    # Flat indices of the pixels that were confirmed since the last automatic result.
    confirmed: NDArray[np.integer] = field(default_factory=_no_pixels)

    @classmethod
    def blank(cls, shape: tuple[int, int], fill: int) -> PlaneSnapshot:
        """Return the snapshot of a layer that does not exist yet."""
        empty = np.broadcast_to(np.uint8(fill), shape)
        return cls(empty, empty, np.broadcast_to(np.uint8(UNLABELLED), shape), False, False)

    def decided(self) -> NDArray[np.uint8]:
        """Return what the annotator decided so far.

        Returns ``(H, W)`` uint8: a label where the annotator decided, 255 elsewhere.
        """
        decided = self.kept.copy()
        changed = self.data != self.baseline
        if changed.any():
            decided[changed] = label_values(self.data[changed])
        return decided

    def painted(self) -> NDArray[np.bool_]:
        """Mark what the annotator painted or confirmed since the last automatic result."""
        painted = np.array(self.data != self.baseline)
        painted.ravel()[self.confirmed] = True
        return painted

    def stray(self) -> int | None:
        """Return a value that no label has, such as 300 or -5; None if there is none."""
        outside = outside_range(self.data)
        return None if outside is None else int(self.data[outside][0])

    def plan(self, automatic: NDArray[np.uint8], decided: NDArray[np.uint8] | None = None) -> Plan:
        """Plan how to show a new automatic result. `automatic`: ``(H, W)`` uint8, the result."""
        kept = self.decided()
        result = np.array(automatic, np.uint8)
        shown = kept if decided is None else decided
        np.copyto(result, shown, where=shown != UNLABELLED)
        return self.plan_change(result, kept)

    def plan_change(self, result: NDArray[np.uint8], kept: NDArray[np.uint8]) -> Plan:
        """Plan the change to a baseline and decisions."""
        if not self.leaves_step:
            # Without an undo step the changed pixels are not needed; finding them is slow.
            changes = not np.array_equal(self.data, result)
            if self.there:
                return Plan(self, result, kept, None, changes)
            return Plan(self, result, kept, None, changes, result.copy())
        outside = outside_range(self.data)
        # Values that are no label stay; the next run reports them.
        wanted = result if outside is None else np.where(outside, self.data, result)
        pixels = Patch.between(self.data, wanted)
        step = Step(
            pixels,
            pixels
            if outside is None and np.array_equal(self.data, self.baseline)
            else Patch.between(self.baseline, result),
            Patch.between(self.kept, kept),
            self.confirmed,
        )
        return Plan(self, result, kept, step, bool(pixels.where.size))


@dataclass(frozen=True)
class Plan:
    """How to show a result: the new baseline and decisions, and the step that leads there."""

    snapshot: PlaneSnapshot
    baseline: NDArray[Any]
    kept: NDArray[Any]
    step: Step | None
    changes: bool
    """Whether a pixel of the layer changes."""
    fresh: NDArray[np.uint8] | None = None
    """A copy of the baseline for a layer that does not exist yet; made on the worker."""


@dataclass(frozen=True)
class PlaneSnapshots:
    """Snapshots of a plane in each label layer of an image; the last one wins."""

    layers: Mapping[str, PlaneSnapshot] = field(default_factory=dict)

    def decided(self) -> NDArray[np.uint8] | None:
        """Return the decisions in all layers; None if there are none."""
        return merge(*(snapshot.decided() for snapshot in self.layers.values()))

    @property
    def refined(self) -> PlaneSnapshot | None:
        """Snapshot of the refined labels; None if there are none yet."""
        found = self.layers.get(LABELS)
        return found if found is not None and found.there else None

    def painted(self) -> NDArray[np.bool_] | None:
        """Mark what was painted or confirmed since the last result; None if nothing was."""
        refined = self.refined
        found = None if refined is None else refined.painted()
        if (pseudo := self.layers.get(PSEUDO)) is not None:
            painted = pseudo.painted()
            if refined is not None:  # corrections that an earlier refinement used are not new
                painted &= pseudo.decided() != refined.baseline
            found = painted if found is None else found | painted
        return found if found is not None and found.any() else None

    def corrections(self, known: Iterable[int]) -> NDArray[np.int16] | None:
        """Return the decisions as the engine takes them: int16, -1 where there are none."""
        strays = (snapshot.stray() for snapshot in self.layers.values())
        if (stray := next((s for s in strays if s is not None), None)) is not None:
            raise InputError(
                f"Label {stray} is in the layer, but labels run from 0 to 254: repaint it with a "
                "label of the table."
            )
        decided = self.decided()
        if decided is None:
            return None
        if strange := sorted(labels_in(decided) - {0, UNLABELLED, *known}):
            raise InputError(
                f"Label {strange[0]} was painted but belongs to no class: add a class for it, "
                "or repaint it with a label of the table."
            )
        return to_corrections(decided)


def outside_range(data: NDArray[np.integer]) -> NDArray[np.bool_] | None:
    """Return where a layer holds what is no label value, such as 300 or -5; None if nowhere."""
    if data.dtype == np.uint8 or not data.size:
        return None
    if int(data.min()) >= 0 and int(data.max()) <= UNLABELLED:
        return None
    return (data < 0) | (data > UNLABELLED)


def label_values(data: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the pixels of a layer of any type as label values, 255 for what is none."""
    if data.dtype == np.uint8:
        return data  # type: ignore[return-value]
    values = data.astype(np.uint8)
    if (outside := outside_range(data)) is not None:
        values[outside] = UNLABELLED
    return values


def only(labels: NDArray[np.uint8], ids: Iterable[int], instead: int) -> NDArray[np.uint8]:
    """Return labels without those of classes that are gone.

    `labels`: ``(H, W)`` uint8; not copied if nothing changes.
    """
    gone = labels_in(labels) - {0, UNLABELLED, *ids}
    if not gone:
        return labels
    table = np.arange(256, dtype=np.uint8)
    table[sorted(gone)] = instead
    return table[labels]


def labels_in(labels: NDArray[np.uint8]) -> set[int]:
    """Return which of the values 0 to 255 occur."""
    seen = np.zeros(256, bool)
    for top in range(0, len(labels), 256):
        seen[labels[top : top + 256]] = True  # by strips: as an index, a byte becomes eight
    return set(np.flatnonzero(seen).tolist())


def merge(*decided: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """Join decisions, the last argument winning.

    `*decided`: ``(H, W)`` uint8 each, 255 where nothing was decided; returns ``(H, W)`` uint8; None
    if nothing was decided at all.

    Examples
    --------
    >>> merge(np.uint8([[1, 255]]), np.uint8([[2, 255]])).tolist()
    [[2, 255]]
    """
    out: NDArray[np.uint8] | None = None
    for layer in decided:
        if layer is None:
            continue
        if out is None:
            out = layer.copy()
        else:
            np.copyto(out, layer, where=layer != UNLABELLED)
    return None if out is None or (out == UNLABELLED).all() else out


def to_corrections(decided: NDArray[np.uint8] | None) -> NDArray[np.int16] | None:
    """Turn decisions into the engine's corrections: int16, -1 where nothing was decided."""
    if decided is None:
        return None
    corrections = decided.astype(np.int16)
    corrections[decided == UNLABELLED] = -1
    return corrections


def from_corrections(corrections: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Turn the engine's corrections into decisions: uint8, 255 where nothing was decided."""
    return np.where(corrections >= 0, corrections, UNLABELLED).astype(np.uint8)
