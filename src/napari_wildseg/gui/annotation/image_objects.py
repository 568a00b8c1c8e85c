"""What the widget knows of an image's objects: ids, strokes and what they were made from."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_wildseg.engine.instances import UNTOUCHED
from napari_wildseg.gui.annotation.correction_history import Tracker
from napari_wildseg.gui.annotation.decisions import Plan
from napari_wildseg.gui.layers.display import Plane


class ObjectPlane:
    """The objects of one plane. `shape`: ``(H, W)``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.tracker = Tracker(
            np.broadcast_to(np.int32(0), shape), np.broadcast_to(np.int32(UNTOUCHED), shape)
        )
        self.seen: NDArray[np.uint8] | None = None
        """``(H, W)`` uint8: the class labels that the objects were last fitted to."""
        self.settings: tuple[Any, ...] = ()
        """The settings of that fit."""
        self.image: tuple[Any, NDArray[np.uint8]] | None = None
        """Key and pixels ``(H, W, 3)`` uint8 of the image that the split looked at."""
        self.measured: NDArray[Any] | None = None
        """The ids that `class_of` and `area` describe."""
        self.class_of: dict[int, int] = {}
        self.area: dict[int, int] = {}
        # The class labels behind each state of the undo history.
        self._labels: list[NDArray[np.uint8] | None] = [None]

    @property
    def strokes(self) -> NDArray[np.int32] | None:
        """``(H, W)`` int32: the corrections; None if there are none."""
        kept = self.tracker.kept
        return None if (kept == UNTOUCHED).all() else kept

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """The class labels that the ids now in effect belong to; None if they are not known."""
        place = self.tracker.position
        return self._labels[place] if place < len(self._labels) else None

    def accept(self, plan: Plan, labels: NDArray[np.uint8]) -> None:
        """Record that a plan is written."""
        before = self._labels[: self.tracker.position + 1]
        self.tracker.accept(plan)
        if not plan.changes:
            before = before[:-1]  # no step was added
        self._labels = [*before, labels][-(self.tracker.position + 1) :]

    def note_fit(self, labels: NDArray[np.uint8], settings: tuple[Any, ...]) -> None:
        """Note the class labels and settings that the ids were fitted to."""
        self.seen, self.settings = labels, settings
        self._labels[self.tracker.position] = labels

    def restore(self, strokes: NDArray[np.int32]) -> int:
        """Add strokes where there are none; return the number of pixels."""
        kept = self.tracker.kept
        here = (kept == UNTOUCHED) & (strokes != UNTOUCHED)
        self.tracker.kept = np.where(here, strokes, kept).astype(np.int32)
        self.invalidate()
        return int(np.count_nonzero(here))

    def release(self) -> None:
        """Drop every correction."""
        self.tracker.kept = np.broadcast_to(np.int32(UNTOUCHED), self.tracker.kept.shape)
        self.invalidate()

    def invalidate(self) -> None:
        """Split the whole plane again at the next update."""
        self.seen = None
        self._labels = [None] * len(self._labels)


@dataclass
class ImageObjects:
    """The objects of one image."""

    planes: dict[Plane, ObjectPlane] = field(default_factory=dict)
    whole: frozenset[int] = frozenset()
    """Classes that are one object each, such as sky; every other class is split."""
    min_size: int = 1
    """Objects of fewer pixels are dropped."""
    find_layer: Callable[[], Labels | None] = lambda: None

    @property
    def layer(self) -> Labels | None:
        """The layer of ids, None while there is none."""
        return self.find_layer()

    def set_layer(self, layer: Labels | None) -> None:
        """Set the layer of ids; ids of the layer before are dropped."""
        self.find_layer = weakref.ref(layer) if layer is not None else lambda: None
        for plane, state in list(self.planes.items()):
            strokes = state.strokes
            self.planes[plane] = ObjectPlane(state.tracker.baseline.shape)
            if strokes is not None:
                self.planes[plane].restore(strokes)

    def plane(self, plane: Plane, shape: tuple[int, ...]) -> ObjectPlane:
        """Return the state of a plane, a new one if there is none."""
        if plane not in self.planes:
            self.planes[plane] = ObjectPlane(shape)
        return self.planes[plane]

    @property
    def corrected(self) -> list[Plane]:
        """Planes with strokes."""
        return [plane for plane, state in self.planes.items() if state.strokes is not None]

    def strokes(self, plane: Plane) -> NDArray[np.int32] | None:
        """Return the strokes of a plane, None if there are none; never written to."""
        state = self.planes.get(plane)
        return None if state is None else state.strokes

    def classes(self) -> dict[int, int]:
        """Return the class of each object."""
        return {n: c for state in self.planes.values() for n, c in state.class_of.items()}

    def things(self, ids: frozenset[int]) -> frozenset[int] | None:
        """Return the classes that are split; None for all."""
        return ids - self.whole if self.whole & ids else None
