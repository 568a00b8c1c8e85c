"""What the widget knows about each image: kept per layer object, never by name, never global."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.corrections import Tracker
from napari_wildseg.gui.decisions import (
    UNLABELLED,
    Plan,
    Standing,
    Standings,
    as_corrections,
    labels_in,
    merge,
)
from napari_wildseg.gui.display import Plane
from napari_wildseg.gui.jobs import EngineSlot
from napari_wildseg.gui.layers import read_plane
from napari_wildseg.gui.long_write import LongWrite
from napari_wildseg.gui.recovery import Saved

LABELS = "labels"
PSEUDO = "pseudo"


class TrackedLayer:
    """A label layer of ours and the annotator's decisions in each of its planes.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer; held weakly, so that deleting it frees its memory.
    fill : int, optional
        What the layer holds where no automatic result was written yet: anything else in such a
        plane was painted. What a plane holds when it is first looked at, if not given.
    """

    def __init__(self, layer: Labels, fill: int | None = None) -> None:
        self._fill = fill
        self._layer = weakref.ref(layer)
        self.trackers: dict[Plane, Tracker] = {}
        self.writing = False
        self.in_stroke = False
        """Whether the mouse button is held down on a brush."""
        self.in_history = False
        """Whether an undo or a redo is under way."""
        self.painted: set[Plane] = set()
        """Planes in which the annotator painted; an undo may change any of them."""
        self.unsaved = True
        """Whether the labels changed since they were exported."""
        self._previewed: Plane | None = None
        self._has_history = False
        self._long: LongWrite | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, or None once it is gone."""
        return self._layer()

    def decided(self, plane: Plane) -> NDArray[np.uint8] | None:
        """Return the decisions in a plane, 255 where there are none."""
        self.settle()
        layer = self.layer
        if layer is None:
            return None
        data = read_plane(layer, plane)
        if plane not in self.trackers and (self._fill is None or not (data != self._fill).any()):
            return None
        return self.tracker(plane).decided(data)

    def has_decisions(self, plane: Plane) -> bool:
        """Whether there are decisions in a plane; much quicker than asking which."""
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
            # Of one value it takes no memory: new layers of a hundred megapixels are no wait.
            blank = np.broadcast_to(np.uint8(self._fill or 0), data.shape)
            self.trackers[plane] = Tracker(data.astype(np.uint8) if self._fill is None else blank)
        return self.trackers[plane]

    def standing(self, plane: Plane) -> Standing:
        """Note how a plane stands, for a worker to look at."""
        self.settle()
        layer = self.layer
        assert layer is not None
        # Nobody can undo what was never seen nor painted in, and nobody changes it meanwhile.
        seen = layer.visible or self._has_history
        data = read_plane(layer, plane)
        return self.tracker(plane).standing(data.copy() if seen else data, leaves_step=seen)

    def stands(self, plane: Plane, standing: Standing) -> bool:
        """Whether a plane still stands as noted."""
        layer = self.layer
        seen = layer is not None and (layer.visible or self._has_history)
        if layer is None or seen != standing.leaves_step:
            return False
        self.settle()
        return self.tracker(plane).stands(standing, read_plane(layer, plane))

    def carry_out(
        self, plane: Plane, plan: Plan, then: Callable[[Exception | None], object] | None = None
    ) -> None:
        """Write what was planned, one undo step at most.

        Parameters
        ----------
        plane : Plane
            Which plane. It still stands as it did when the plan was made.
        plan : Plan
            From `Standing.plan`.
        then : callable, optional
            Called with None when all is written: at once, or some turns of the event loop later
            where a great many pixels change (`settle` has it done now). Called with what went
            wrong if nothing could be written; that is raised if nobody is to be called.
        """
        self.settle()
        layer, tracker = self.layer, self.tracker(plane)
        if layer is None:
            return
        self._previewed = None
        self.unsaved = True
        tracker.accept(plan)
        if plan.step is None:
            # A hidden layer costs a refresh to write to; it is drawn anew when it is shown.
            layer.data[plane.slices] = plan.baseline
            if then is not None:
                then(None)
            return
        self.writing = self._has_history = True

        def written(error: Exception | None) -> None:
            self.writing, self._long = False, None
            if error is not None:
                tracker.reject(plan)
                if then is None:
                    raise error
            if then is not None:
                then(error)

        self._long = LongWrite(layer, plane, plan.step.pixels, written)
        self._long.start(at_once=self.in_stroke)

    def settle(self) -> None:
        """Finish a long write that is under way."""
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

        Parameters
        ----------
        plane : Plane
            Which plane.
        automatic : ndarray
            ``(H, W)`` uint8.
        decided : ndarray, optional
            Decisions that the result must show; default: this layer's own.
        preview : bool
            The result replaces the preview before it, if nothing was painted since, so that
            dragging a slider leaves one undo step.

        Returns
        -------
        bool
            Whether a pixel changed.
        """
        layer = self.layer
        if layer is None:
            return False
        self.settle()
        if preview and self._previewed == plane:
            self.writing = True
            try:
                layer.undo()
                self.tracker(plane).follow_history(read_plane(layer, plane))
            finally:
                self.writing = False
        plan = self.standing(plane).plan(automatic, decided)
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

    def fill(
        self,
        plane: Plane,
        automatic: NDArray[np.uint8],
    ) -> None:
        """Show a result without leaving an undo step, in a layer nobody has seen or painted."""
        if self.layer is not None:
            standing = replace(self.standing(plane), leaves_step=False)
            self.carry_out(plane, standing.plan(automatic))

    def end_preview(self) -> None:
        """Let the next write be an undo step of its own."""
        self._previewed = None

    def note_paint(self) -> None:
        """Take note of a stroke of the annotator."""
        self._previewed = None
        self.unsaved = True
        if not self.writing:
            self._has_history = True
            for tracker in self.trackers.values():
                tracker.painted()

    def painted_in(self, planes: Iterable[Plane] | None) -> list[Plane]:
        """Note in which planes a stroke was, None for any; return those that are followed."""
        found = [plane for plane in planes or self.trackers if plane in self.trackers]
        self.painted.update(found)
        return found

    def note_refresh(self) -> list[Plane]:
        """Take note of a change that was not painted: perhaps an undo or a redo.

        Returns
        -------
        list of Plane
            Where an automatic write was undone or redone.
        """
        layer = self.layer
        if layer is None or self.writing:
            return []
        moved = [p for p, t in self.trackers.items() if t.follow_history(read_plane(layer, p))]
        if moved:
            self._previewed = None
        self.unsaved |= self.in_history
        return moved

    def watch_history(self) -> None:
        """Know of each undo and redo; napari tells of them as of any other refresh."""
        layer = self.layer
        if layer is not None:
            for name in ("undo", "redo"):
                setattr(layer, name, partial(self._through_history, name))

    def _through_history(self, name: str) -> None:
        layer = self.layer
        if layer is None:
            return
        self.in_history = True
        try:
            # The method of the class: a layer that held its own would not be freed at once.
            getattr(Labels, name)(layer)
        finally:
            self.in_history = False


@dataclass
class PlaneState:
    """What belongs to one plane of one image."""

    slot: EngineSlot = field(default_factory=EngineSlot)
    segmented: bool = False
    pseudo_labels: NDArray[np.uint8] | None = None
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class ImageSession:
    """Everything that belongs to one image layer.

    Parameters
    ----------
    image : napari.layers.Image
        The image; held weakly.
    classes : iterable of ClassInfo
        The class list it starts with.
    """

    def __init__(self, image: Image, classes: tuple[ClassInfo, ...] = ()) -> None:
        self._image = weakref.ref(image)
        self.classes = tuple(classes)
        self.hidden: frozenset[int] = frozenset()
        self.used_ids: set[int] = {c.id for c in classes}
        self.offered: tuple[ClassInfo, ...] = ()  # of the data set: what painted ids may mean
        self.tracked: dict[str, TrackedLayer] = {}
        self.planes: dict[Plane, PlaneState] = {}
        self.suggestions: list[tuple[str, float | None]] = []
        self.recovery_key = ""
        self.left_over: list[Saved] = []
        self.followed = False
        """Whether the label layers follow the image when it is moved or scaled."""

    @property
    def image(self) -> Image | None:
        """The image layer, or None once it is gone."""
        return self._image()

    def plane_state(self, plane: Plane) -> PlaneState:
        """Return the state of a plane, a new one if there is none."""
        return self.planes.setdefault(plane, PlaneState())

    def layer(self, kind: str) -> Labels | None:
        """Return one of the two label layers, None if there is none."""
        tracked = self.tracked.get(kind)
        return None if tracked is None else tracked.layer

    def label_layers(self) -> Iterator[Labels]:
        """Go through the label layers that are there."""
        for tracked in self.tracked.values():
            if (layer := tracked.layer) is not None:
                yield layer

    @property
    def unsaved(self) -> bool:
        """Whether there are labels that were not exported as they are now."""
        return any(tracked.unsaved for tracked in self.tracked.values())

    def note_saved(self) -> None:
        """Take note that the labels are in a file of the annotator's."""
        for tracked in self.tracked.values():
            tracked.unsaved = False

    def settle(self) -> None:
        """Finish what is being written into the label layers."""
        for tracked in self.tracked.values():
            tracked.settle()

    def standings(self, plane: Plane) -> Standings:
        """Note how a plane stands in the label layers, for a worker to look at."""
        return Standings(
            {
                kind: self.tracked[kind].standing(plane)
                for kind in (PSEUDO, LABELS)
                if kind in self.tracked and self.tracked[kind].layer is not None
            }
        )

    def decided(self, plane: Plane) -> NDArray[np.uint8] | None:
        """Return the annotator's decisions from both layers; the refined labels win.

        Parameters
        ----------
        plane : Plane
            Which plane.

        Returns
        -------
        ndarray or None
            ``(H, W)`` uint8, 255 where nothing was decided; None if nothing was.
        """
        return merge(
            *(
                self.tracked[kind].decided(plane)
                for kind in (PSEUDO, LABELS)
                if kind in self.tracked and self.tracked[kind].has_decisions(plane)
            )
        )

    def corrections(self, plane: Plane) -> NDArray[np.int16] | None:
        """Return the decisions as the engine takes them: int16, -1 where there are none."""
        return as_corrections(self.decided(plane))

    def keep_deleted(self, layer: Labels) -> bool:
        """Keep the decisions made in a label layer that was deleted, to be offered again.

        Returns
        -------
        bool
            Whether there were any.
        """
        for kind, tracked in list(self.tracked.items()):
            if tracked.layer is not layer:
                continue
            del self.tracked[kind]
            kept = [
                Saved(plane, corrections, self.classes, time.time(), None)
                for plane in tracked.trackers
                if (corrections := as_corrections(merge(tracked.decided(plane)))) is not None
            ]
            self.left_over = [*self.left_over, *kept]
            return bool(kept)
        return False

    def unknown_labels(self, plane: Plane) -> list[int]:
        """Return label values the annotator painted that belong to no class."""
        decided = self.decided(plane)
        if decided is None:
            return []
        return sorted(labels_in(decided) - {0, UNLABELLED, *(c.id for c in self.classes)})

    def decided_pixels(self, plane: Plane) -> int:
        """Return how many pixels the annotator decided."""
        decided = self.decided(plane)
        return 0 if decided is None else int(np.count_nonzero(decided != UNLABELLED))


class SessionStore:
    """The sessions of one widget, by image layer object."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakKeyDictionary[Image, ImageSession] = weakref.WeakKeyDictionary()

    def get(self, image: Image | None) -> ImageSession | None:
        """Return the session of an image, None if it has none."""
        return None if image is None else self._sessions.get(image)

    def open(self, image: Image, classes: tuple[ClassInfo, ...] = ()) -> ImageSession:
        """Return the session of an image, starting one with ``classes`` if it has none."""
        session = self._sessions.get(image)
        if session is None:
            session = self._sessions[image] = ImageSession(image, classes)
        return session

    def close(self, image: Image) -> None:
        """Drop what is known about an image."""
        self._sessions.pop(image, None)

    def __iter__(self) -> Iterator[ImageSession]:
        return iter(list(self._sessions.values()))

    def owner_of(self, layer: Labels) -> tuple[ImageSession, TrackedLayer] | None:
        """Return the session and tracked layer a label layer belongs to."""
        for session in self:
            for tracked in session.tracked.values():
                if tracked.layer is layer:
                    return session, tracked
        return None
