"""A label layer of ours: what is written into it, and what the annotator decided in it."""

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_wildseg.gui.annotation.correction_history import Tracker
from napari_wildseg.gui.annotation.decisions import Plan, PlaneSnapshot, label_values, outside_range
from napari_wildseg.gui.layers.display import Plane, planes_of
from napari_wildseg.gui.layers.label_pair import read_plane
from napari_wildseg.gui.layers.long_write import LongWrite


class TrackedLayer:
    """A label layer of ours and the annotator's decisions in each of its planes."""

    def __init__(self, layer: Labels, fill: int | None = None) -> None:
        self.blank = fill
        self._layer = weakref.ref(layer)
        self.trackers: dict[Plane, Tracker] = {}
        self.writing = False
        self.in_stroke = False
        """Whether the mouse button is held down on a brush."""
        self.painted: set[Plane] = set()
        """Planes in which the annotator painted; an undo may change any of them."""
        self.edits = 1
        """Counts changes of the labels and of what was decided."""
        self.exported = 0
        """What `edits` was when the labels were last exported."""
        self.unexplored = False
        """Whether planes may have been painted that are not followed."""
        self._array = id(layer.data)
        self._previewed: Plane | None = None
        self._has_history = False
        self._long: LongWrite | None = None
        self._view: tuple[Any, ...] = ()
        """What the viewer showed of the layer at its last refresh."""

    @property
    def adopted(self) -> bool:
        """Whether the layer existed before, so that its labels are not ours."""
        return self.blank is None

    @property
    def layer(self) -> Labels | None:
        """The layer, or None once it is gone."""
        return self._layer()

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Mark changes and refreshes of the layer as ours, not the annotator's."""
        self.writing = True
        try:
            yield
        finally:
            self.writing = False

    def decided(self, plane: Plane) -> NDArray[np.uint8] | None:
        """Return the decisions in a plane, 255 where there are none."""
        self.settle()
        layer = self.layer
        if layer is None:
            return None
        data = read_plane(layer, plane)
        if plane not in self.trackers and (
            self.blank is None or not has_other_value(data, self.blank)
        ):
            return None
        return self.tracker(plane).decided(data)

    def has_decisions(self, plane: Plane) -> bool:
        """Whether there are decisions in a plane; faster than `decided`."""
        self.settle()
        layer, tracker = self.layer, self.trackers.get(plane)
        if layer is None or tracker is None:
            return False
        return tracker.has_decisions(read_plane(layer, plane))

    def tracker(self, plane: Plane) -> Tracker:
        """Return the tracker of a plane, starting one where there is none."""
        if plane not in self.trackers:
            layer = self.layer
            assert layer is not None
            data = read_plane(layer, plane)
            # A broadcast array takes no memory.
            blank = np.broadcast_to(np.uint8(self.blank or 0), data.shape)
            self.trackers[plane] = Tracker(
                np.array(label_values(data)) if self.blank is None else blank
            )
        return self.trackers[plane]

    @property
    def unsaved(self) -> bool:
        """Whether the labels changed since they were exported."""
        return self.edits != self.exported

    def follow(self, plane: Plane) -> bool:
        """Start to follow a plane of a layer of ours if it was painted."""
        layer = self.layer
        if plane in self.trackers or self.blank is None or layer is None:
            return True
        if not plane.is_parallel(next(iter(self.trackers), plane)):
            return False
        if has_other_value(read_plane(layer, plane), self.blank):
            self.tracker(plane)
        return True

    def touched(self) -> list[Plane]:
        """Return every plane that was segmented or painted."""
        layer = self.layer
        if self.unexplored and layer is not None:
            self.unexplored = False
            like = next(iter(self.trackers), Plane((*[0] * (layer.ndim - 2), None, None)))
            for plane in changed_planes(layer.data, self.blank, like, self.trackers):
                self.tracker(plane)
        return list(self.trackers)

    def replaced(self) -> bool:
        """Whether the layer was given another array since this was last asked."""
        layer = self.layer
        if layer is None or id(layer.data) == self._array:
            return False
        self._array = id(layer.data)
        return True

    def snapshot(self, plane: Plane) -> PlaneSnapshot:
        """Return a snapshot of a plane for a worker."""
        self.settle()
        layer = self.layer
        assert layer is not None
        # A layer that was never visible or painted has no undo steps and does not change.
        seen = layer.visible or self._has_history
        data = read_plane(layer, plane)
        noted = np.array(data) if seen else data
        return self.tracker(plane).snapshot(noted, leaves_step=seen)

    def is_current(self, plane: Plane, snapshot: PlaneSnapshot) -> bool:
        """Whether a plane is unchanged since a snapshot."""
        layer = self.layer
        seen = layer is not None and (layer.visible or self._has_history)
        if layer is None or seen != snapshot.leaves_step:
            return False
        self.settle()
        return self.tracker(plane).is_current(snapshot, read_plane(layer, plane))

    def carry_out(
        self,
        plane: Plane,
        plan: Plan,
        then: Callable[[Exception | None], object] | None = None,
        *,
        held: bool = False,
    ) -> None:
        """Write a plan as at most one undo step."""
        self.settle()
        layer, tracker = self.layer, self.tracker(plane)
        if layer is None:
            return
        self._previewed = None
        self.edits += 1
        tracker.accept(plan)
        if plan.step is None:
            # A hidden layer costs a refresh to write to; it is drawn anew when it is shown.
            if not held:
                data = read_plane(layer, plane)
                outside = outside_range(data)
                kept = plan.baseline if outside is None else np.where(outside, data, plan.baseline)
                layer.data[plane.slices] = kept
            if then is not None:
                then(None)
            return
        self.writing = self._has_history = True

        def written(error: Exception | None) -> None:
            self.writing, self._long = False, None
            if error is not None:
                tracker.reject(plan)
                tracker.follow_history(read_plane(layer, plane))
                if then is None:
                    raise error
            if then is not None:
                then(error)

        self._long = LongWrite(layer, plane, plan.step.pixels, written)
        self._long.start(at_once=self.in_stroke)

    def settle(self) -> None:
        """Finish a long write that is in progress."""
        if self._long is not None:
            self._long.finish()

    def write(
        self,
        plane: Plane,
        automatic: NDArray[np.uint8],
        decided: NDArray[np.uint8] | None = None,
        *,
        preview: bool = False,
    ) -> bool:
        """Show a new automatic result, the decisions in place, as one undo step, now.

        `automatic`: ``(H, W)`` uint8.
        """
        layer = self.layer
        if layer is None:
            return False
        self.settle()
        if preview and self._previewed == plane:
            with self.ours():
                layer.undo()
                self.tracker(plane).follow_history(read_plane(layer, plane))
        plan = self.snapshot(plane).plan(automatic, decided)
        self.carry_out(plane, plan)
        self.settle()
        self._previewed = plane if preview and plan.step is not None and plan.changes else None
        return plan.changes

    def remove_label(self, label: int, instead: int) -> None:
        """Replace a label that is no longer a class, in every plane, an undo step each."""
        layer = self.layer
        if layer is None:
            return
        self.settle()
        for plane, tracker in self.trackers.items():
            self.carry_out(plane, tracker.removal(read_plane(layer, plane), label, instead))
        self.settle()

    def fill(self, plane: Plane, automatic: NDArray[np.uint8]) -> None:
        """Write a result without an undo step into a layer that was never visible or painted."""
        if self.layer is not None:
            snapshot = replace(self.snapshot(plane), leaves_step=False)
            self.carry_out(plane, snapshot.plan(automatic))

    def end_preview(self) -> None:
        """Let the next write be an undo step of its own."""
        self._previewed = None

    def note_paint(self) -> None:
        """Record a stroke of the annotator."""
        self._previewed = None
        self.edits += 1
        if not self.writing:
            self._has_history = True
            for tracker in self.trackers.values():
                tracker.painted()

    def painted_in(self, planes: Iterable[Plane] | None) -> list[Plane]:
        """Note in which planes a stroke was, None for any; return those that are followed."""
        found = [plane for plane in planes or self.trackers if plane in self.trackers]
        self.painted.update(found)
        return found

    def is_same_view(self, view: tuple[Any, ...]) -> bool:
        """Store the present view; return whether it is the same as before."""
        before, self._view = self._view, view
        return before == view

    def note_refresh(self, *, edited: bool = False) -> tuple[list[Plane], str]:
        """Handle a refresh of the layer, perhaps an undo or a redo."""
        layer = self.layer
        if layer is None or self.writing:
            return [], ""
        steps = {p: t.follow_history(read_plane(layer, p)) for p, t in self.trackers.items()}
        moved = [plane for plane, number in steps.items() if number]
        if moved:
            self._previewed = None
        self.edits += bool(moved or edited)
        return moved, "" if not moved else "undo" if steps[moved[0]] < 0 else "redo"


def has_other_value(data: NDArray[np.integer], fill: int) -> bool:
    """Whether an array holds any other value; takes no extra memory."""
    return bool(data.size) and not (data.max() == fill and data.min() == fill)


def changed_planes(
    data: NDArray[np.integer], fill: int | None, like: Plane, followed: Collection[Plane]
) -> list[Plane]:
    """Return planes that hold anything but the fill value, on any thread."""
    if fill is None:
        return []
    planes = (plane for plane in planes_of(data.shape, like) if plane not in followed)
    return [plane for plane in planes if has_other_value(np.asarray(data[plane.slices]), fill)]
