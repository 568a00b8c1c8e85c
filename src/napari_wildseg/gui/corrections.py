"""What the annotator decided: the difference from the last automatic result, kept across refines.

napari keeps the undo history of a label layer, and this module follows it: when the annotator
undoes an automatic result, the layer holds older pixels again, and those must be compared with
the older result, not with the undone one. No private history is read. Each automatic write
leaves a `Step` that knows which pixels it changed; pixels that hold their values from before the
write say that it was undone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255
"""Label value that decides nothing; inside the trackers also "not corrected"."""


@dataclass(frozen=True)
class Patch:
    """The pixels in which two arrays of one shape differ."""

    where: NDArray[np.intp]
    before: NDArray[np.integer]
    after: NDArray[np.integer]

    @classmethod
    def between(cls, before: NDArray[np.integer], after: NDArray[np.integer]) -> Patch:
        """Return what turns one array into the other.

        Parameters
        ----------
        before, after : ndarray
            Integer arrays of one shape.
        """
        where = np.flatnonzero(before != after)
        return cls(where, before.ravel()[where], after.ravel()[where])

    def apply(self, array: NDArray[np.integer]) -> None:
        """Write the new values into a contiguous array."""
        array.ravel()[self.where] = self.after

    def revert(self, array: NDArray[np.integer]) -> None:
        """Write the old values into a contiguous array."""
        array.ravel()[self.where] = self.before

    def is_applied(self, array: NDArray[np.integer]) -> bool:
        """Whether the array holds the new value at every pixel."""
        return bool((array.ravel()[self.where] == self.after).all())

    def is_reverted(self, array: NDArray[np.integer]) -> bool:
        """Whether the array holds the old value at every pixel."""
        return bool((array.ravel()[self.where] == self.before).all())


@dataclass(frozen=True)
class Step:
    """One automatic write: what it did to the layer, the baseline and the kept corrections."""

    pixels: Patch
    baseline: Patch
    kept: Patch


class Tracker:
    """The annotator's decisions in one plane of one label layer.

    Parameters
    ----------
    automatic : ndarray
        ``(H, W)`` uint8, the automatic result the layer starts with.
    """

    def __init__(self, automatic: NDArray[np.uint8]) -> None:
        self.baseline = np.array(automatic, np.uint8)
        self._kept = np.full(automatic.shape, UNLABELLED, np.uint8)
        self._steps: list[Step] = []
        self._position = 0
        self._painted_back = False
        self._stroke = False

    def has_decisions(self, data: NDArray[np.integer]) -> bool:
        """Whether the annotator decided anything; much quicker than asking what."""
        return not np.array_equal(data, self.baseline) or bool((self._kept != UNLABELLED).any())

    def decided(self, data: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return what the annotator decided so far.

        Parameters
        ----------
        data : ndarray
            ``(H, W)``, what the layer holds now.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8: a label where the annotator decided, 255 elsewhere. Painting 255
            takes a decision back.
        """
        decided = self._kept.copy()
        changed = np.flatnonzero(data != self.baseline)
        if changed.size:
            decided.ravel()[changed] = np.minimum(data.ravel()[changed], UNLABELLED)
        return decided

    def confirm(self, region: NDArray[np.bool_], data: NDArray[np.integer]) -> int:
        """Keep pixels as they are from now on.

        Parameters
        ----------
        region : ndarray
            ``(H, W)`` bool.
        data : ndarray
            ``(H, W)``, what the layer holds now.

        Returns
        -------
        int
            How many pixels are newly kept.
        """
        keep = region & (data < UNLABELLED) & (self.decided(data) == UNLABELLED)
        self._kept[keep] = data[keep]
        return int(keep.sum())

    def restore(self, decided: NDArray[np.uint8]) -> None:
        """Take decisions from elsewhere, for example from a recovery file."""
        taken = decided != UNLABELLED
        self._kept[taken] = decided[taken]

    def follow_history(self, data: NDArray[np.integer]) -> bool:
        """Notice that automatic writes were undone or redone.

        Parameters
        ----------
        data : ndarray
            ``(H, W)``, what the layer holds now.

        Returns
        -------
        bool
            Whether the baseline moved.
        """
        start = self._position
        if self._stroke:
            # The stroke is the latest step of the history, so this is no undo of a result.
            self._stroke = False
            self._painted_back = self._top_is_reverted(data)
        elif self._painted_back and not self._top_is_reverted(data):
            self._painted_back = False
        while not self._painted_back and self._top_is_reverted(data):
            self._position -= 1
            step = self._steps[self._position]
            step.baseline.revert(self.baseline)
            step.kept.revert(self._kept)
        while self._position < len(self._steps) and self._steps[self._position].pixels.is_applied(
            data
        ):
            step = self._steps[self._position]
            step.baseline.apply(self.baseline)
            step.kept.apply(self._kept)
            self._position += 1
        return self._position != start

    def painted(self) -> None:
        """Note a stroke of the annotator; napari may tell before the pixels have changed.

        A stroke that happens to bring back the pixels from before an automatic write is a
        decision against that write, not its undoing.
        """
        self._stroke = True

    def write(
        self,
        data: NDArray[np.integer],
        automatic: NDArray[np.uint8],
        decided: NDArray[np.uint8] | None = None,
    ) -> Patch:
        """Take a new automatic result and return the pixels to write into the layer.

        Parameters
        ----------
        data : ndarray
            ``(H, W)``, what the layer holds now.
        automatic : ndarray
            ``(H, W)`` uint8, the result.
        decided : ndarray, optional
            Decisions that the result must show, 255 where there are none. Default: this layer's.

        Returns
        -------
        Patch
            From what the layer holds now to the result with every decision in place.
        """
        return self._advance(data, *self._with_decisions(data, automatic, decided))

    def replace(
        self,
        data: NDArray[np.integer],
        automatic: NDArray[np.uint8],
        decided: NDArray[np.uint8] | None = None,
    ) -> bool:
        """Take a new automatic result that leaves no undo step; `baseline` is what to write.

        Returns
        -------
        bool
            Whether a pixel changes.
        """
        # No step is kept, so none is worked out: which pixels differ is what takes time.
        self.baseline, self._kept = self._with_decisions(data, automatic, decided)
        self._steps.clear()
        self._position = 0
        self._painted_back = self._stroke = False
        return not np.array_equal(data, self.baseline)

    def remove_label(self, data: NDArray[np.integer], label: int, instead: int) -> Patch:
        """Replace a label that is no longer a class, and take back the decisions for it.

        Parameters
        ----------
        data : ndarray
            ``(H, W)``, what the layer holds now.
        label : int
            The label that goes.
        instead : int
            What its pixels become.

        Returns
        -------
        Patch
            The pixels to write.
        """
        kept = self.decided(data)
        kept[kept == label] = UNLABELLED
        result = np.where(data == label, instead, np.minimum(data, UNLABELLED)).astype(np.uint8)
        return self._advance(data, result, kept)

    def release(self, data: NDArray[np.integer]) -> None:
        """Take every decision back; the pixels stay as they are."""
        self._kept.fill(UNLABELLED)
        self.baseline = np.minimum(data, UNLABELLED).astype(np.uint8)

    def _with_decisions(
        self,
        data: NDArray[np.integer],
        automatic: NDArray[np.uint8],
        decided: NDArray[np.uint8] | None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the result with decisions in place, and the decisions of this layer."""
        kept = self.decided(data)
        result = np.array(automatic, np.uint8)
        shown = kept if decided is None else decided
        np.copyto(result, shown, where=shown != UNLABELLED)
        return result, kept

    def _advance(
        self, data: NDArray[np.integer], result: NDArray[np.uint8], kept: NDArray[np.uint8]
    ) -> Patch:
        step = Step(
            Patch.between(data, result),
            Patch.between(self.baseline, result),
            Patch.between(self._kept, kept),
        )
        del self._steps[self._position :]
        if step.pixels.where.size:
            self._steps.append(step)
            # napari itself forgets the oldest undo steps; one more than its limit is never needed.
            del self._steps[:-100]
        self._position = len(self._steps)
        self._painted_back = self._stroke = False
        self.baseline = result
        self._kept = kept
        return step.pixels

    def _top_is_reverted(self, data: NDArray[np.integer]) -> bool:
        return self._position > 0 and self._steps[self._position - 1].pixels.is_reverted(data)


def merge(*decided: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """Join decisions, the last argument winning.

    Parameters
    ----------
    *decided : ndarray or None
        ``(H, W)`` uint8 each, 255 where nothing was decided.

    Returns
    -------
    ndarray or None
        ``(H, W)`` uint8; None if nothing was decided at all.

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


def as_corrections(decided: NDArray[np.uint8] | None) -> NDArray[np.int16] | None:
    """Turn decisions into the engine's corrections: int16, -1 where nothing was decided."""
    if decided is None:
        return None
    corrections = decided.astype(np.int16)
    corrections[decided == UNLABELLED] = -1
    return corrections


def as_decided(corrections: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Turn the engine's corrections into decisions: uint8, 255 where nothing was decided."""
    return np.where(corrections >= 0, corrections, UNLABELLED).astype(np.uint8)
