"""What the annotator decided: the difference from the last automatic result, kept across refines.

napari keeps the undo history of a label layer, and this module follows it: when the annotator
undoes an automatic result, the layer holds older pixels again, and those must be compared with
the older result, not with the undone one. No private history is read. Each automatic write
leaves a `Step` that knows which pixels it changed; pixels that hold their values from before the
write show that it was undone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    Plan,
    PlaneSnapshot,
    Step,
    label_values,
)


class Tracker:
    """The annotator's decisions in one plane of one label layer.

    `automatic`: ``(H, W)`` uint8, the automatic result the layer starts with; not copied; `kept`:
    ``(H, W)``: the decisions there are. Of objects, ids and strokes: ``(H, W)`` int32 both. `data`
    of the methods: ``(H, W)``, what the layer holds now.
    """

    def __init__(self, automatic: NDArray[Any], kept: NDArray[Any] | None = None) -> None:
        # Both are replaced, never modified: a worker may read them.
        self.baseline: NDArray[Any] = automatic
        self.kept: NDArray[Any] = (
            np.broadcast_to(np.uint8(UNLABELLED), automatic.shape) if kept is None else kept
        )
        self._confirmed: NDArray[np.integer] = np.zeros(0, np.uint32)
        self._steps: list[Step] = []
        self._position = 0
        self._painted_back = False
        self._stroke = False

    @property
    def position(self) -> int:
        """How many automatic writes are in effect; undone ones are not."""
        return self._position

    def snapshot(self, data: NDArray[np.integer], *, leaves_step: bool = True) -> PlaneSnapshot:
        """Return a snapshot; `data` is to be a copy if it is used later."""
        return PlaneSnapshot(data, self.baseline, self.kept, leaves_step, confirmed=self._confirmed)

    def is_current(self, snapshot: PlaneSnapshot, data: NDArray[np.integer]) -> bool:
        """Whether nothing changed since a snapshot."""
        return (
            self.baseline is snapshot.baseline
            and self.kept is snapshot.kept
            and np.array_equal(data, snapshot.data)
        )

    def has_decisions(self, data: NDArray[np.integer]) -> bool:
        """Whether the annotator decided anything; faster than `decided`."""
        return not np.array_equal(data, self.baseline) or bool((self.kept != UNLABELLED).any())

    def decided(self, data: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return what the annotator decided so far, see `PlaneSnapshot.decided`."""
        return self.snapshot(data).decided()

    def confirm(self, region: NDArray[np.bool_], data: NDArray[np.integer]) -> int:
        """Keep pixels as they are from now on. `region`: ``(H, W)`` bool."""
        values = label_values(data)
        keep = region & (values < UNLABELLED) & (self.decided(data) == UNLABELLED)
        count = int(np.count_nonzero(keep))
        if count:
            self.kept = np.where(keep, values, self.kept).astype(np.uint8)
            self._note_confirmed(keep)
        return count

    def restore(self, decided: NDArray[np.uint8]) -> None:
        """Add decisions, for example from a recovery file."""
        self.kept = np.where(decided != UNLABELLED, decided, self.kept).astype(np.uint8)
        self._note_confirmed(decided != UNLABELLED)

    def _note_confirmed(self, pixels: NDArray[np.bool_]) -> None:
        found = np.flatnonzero(pixels)
        if pixels.size < 2**32:
            found = found.astype(np.uint32)
        self._confirmed = np.concatenate([self._confirmed, found])

    def follow_history(self, data: NDArray[np.integer]) -> int:
        """Detect automatic writes that were undone or redone."""
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
            self.baseline = step.baseline.reverted(self.baseline)
            self.kept = step.kept.reverted(self.kept)
            self._confirmed = step.confirmed
        while self._position < len(self._steps) and self._steps[self._position].pixels.is_applied(
            data
        ):
            step = self._steps[self._position]
            self.baseline = step.baseline.applied(self.baseline)
            self.kept = step.kept.applied(self.kept)
            self._confirmed = self._confirmed[:0]
            self._position += 1
        return self._position - start

    def painted(self) -> None:
        """Note a stroke of the annotator; napari may report it before the pixels change.

        A stroke that happens to bring back the pixels from before an automatic write is a
        decision against that write, not its undoing.
        """
        self._stroke = True

    def accept(self, plan: Plan) -> None:
        """Record that a plan is written, and its undo step, if any."""
        del self._steps[self._position :]
        if plan.step is None:
            self._steps.clear()
        elif plan.changes:
            self._steps.append(plan.step)
            # napari itself forgets the oldest undo steps; one more than its limit is never needed.
            del self._steps[:-100]
        self._position = len(self._steps)
        self._painted_back = self._stroke = False
        self._confirmed = self._confirmed[:0]
        self.baseline, self.kept = plan.baseline, plan.kept

    def reject(self, plan: Plan) -> None:
        """Undo `accept`: the plan could not be written."""
        if plan.step is not None and plan.changes:
            self._steps.pop()
        self._position = len(self._steps)
        self.baseline, self.kept = plan.snapshot.baseline, plan.snapshot.kept
        self._confirmed = plan.snapshot.confirmed

    def removal(self, data: NDArray[np.integer], label: int, instead: int) -> Plan:
        """Plan to replace a label that is no longer a class, and to drop the decisions for it."""
        snapshot = self.snapshot(data)
        kept = snapshot.decided()
        kept[kept == label] = UNLABELLED
        result = np.where(data == label, instead, label_values(data)).astype(np.uint8)
        return snapshot.plan_change(result, kept)

    def release(self, data: NDArray[np.integer]) -> None:
        """Drop every decision; the pixels stay as they are."""
        self.kept = np.full(data.shape, UNLABELLED, np.uint8)
        self.baseline = np.array(label_values(data))
        self._confirmed = self._confirmed[:0]

    def _top_is_reverted(self, data: NDArray[np.integer]) -> bool:
        return self._position > 0 and self._steps[self._position - 1].pixels.is_reverted(data)
