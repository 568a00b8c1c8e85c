"""What the widget knows about each image: kept per layer object, never by name, never global."""

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.annotation.decisions import (
    LABELS,
    PSEUDO,
    UNLABELLED,
    PlaneSnapshots,
    labels_in,
    merge,
    to_corrections,
)
from napari_wildseg.gui.annotation.image_objects import ImageObjects
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.jobs.engine_jobs import EngineSlot
from napari_wildseg.gui.layers.display import Plane, level_array, level_shape
from napari_wildseg.gui.recovery import Claim
from napari_wildseg.gui.recovery_record import Saved

__all__ = ["LABELS", "PSEUDO", "ImageSession", "PlaneState", "SessionStore"]


@dataclass
class PlaneState:
    """What belongs to one plane of one image."""

    slot: EngineSlot = field(default_factory=EngineSlot)
    segmented: bool = False
    pseudo_labels: NDArray[np.uint8] | None = None
    prior: NDArray[np.uint8] | None = None
    """Labels that Auto-segment did not make, which Refine starts from; never written to."""
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class ImageSession:
    """Everything that belongs to one image layer."""

    def __init__(self, image: Image, classes: tuple[ClassInfo, ...] = ()) -> None:
        self._image: Callable[[], Image | None] = weakref.ref(image)
        self.classes = tuple(classes)
        self.hidden: frozenset[int] = frozenset()
        self.locked: frozenset[int] = frozenset()
        self.used_ids: set[int] = {c.id for c in classes}
        self.removed: dict[int, tuple[int, ClassInfo]] = {}
        """Removed rows of the table and their positions; an undo restores them."""
        self.offered: tuple[ClassInfo, ...] = ()  # of the data set: what painted ids may mean
        self.tracked: dict[str, TrackedLayer] = {}
        self.planes: dict[Plane, PlaneState] = {}
        self.objects = ImageObjects()
        self.suggestions: list[tuple[str, float | None]] = []
        self.suggested_maps: tuple[Plane, dict[str, NDArray[np.float32]]] | None = None
        """Where each suggested name is in a plane, in [0, 1], on a coarse grid."""
        self.claim: Claim | None = None
        self.left_over: list[Saved] = []
        self.array: Any = level_array(image)
        """The image's array; after a replacement the old one shows which corrections still fit."""
        self.shape = level_shape(image)
        self.may_replace = False
        """Whether the annotator said that labels of others may be replaced."""
        self.followed = False
        """Whether the label layers follow the image when it is moved or scaled."""

    @property
    def image(self) -> Image | None:
        """The image layer, or None once it is gone."""
        return self._image()

    @property
    def ids(self) -> frozenset[int]:
        """The label values of the classes in the table."""
        return frozenset(info.id for info in self.classes)

    def detach(self) -> None:
        """Detach from the image; the label layers stay as they are."""
        self.settle()
        self._image = _no_image
        self.array = None

    def forget_encodings(self) -> None:
        """Drop the encodings, so that the next run encodes again; labels and corrections stay."""
        for state in self.planes.values():
            state.slot = EngineSlot()

    def all_decided(self) -> dict[Plane, NDArray[np.uint8]]:
        """Return the decisions in every plane that has any."""
        found = {plane: self.decided(plane) for plane in self.touched()}
        return {plane: decided for plane, decided in found.items() if decided is not None}

    def plane_state(self, plane: Plane) -> PlaneState:
        """Return the state of a plane, a new one if there is none."""
        return self.planes.setdefault(plane, PlaneState())

    def layer(self, kind: str) -> Labels | None:
        """Return one of the two label layers, None if there is none."""
        tracked = self.tracked.get(kind)
        return None if tracked is None else tracked.layer

    def label_layers(self) -> Iterator[Labels]:
        """Yield the existing label layers."""
        for tracked in self.tracked.values():
            if (layer := tracked.layer) is not None:
                yield layer

    def all_layers(self) -> list[Labels]:
        """Return the label layers that are there and the layer of objects."""
        objects = self.objects.layer
        return [*self.label_layers(), *([] if objects is None else [objects])]

    @property
    def unsaved(self) -> bool:
        """Whether there are labels that were not exported as they are now."""
        return any(tracked.unsaved for tracked in self.tracked.values())

    def edits(self) -> dict[TrackedLayer, int]:
        """Note how often each label layer was changed, for `note_saved`."""
        return {tracked: tracked.edits for tracked in self.tracked.values()}

    def note_saved(self, edits: Mapping[TrackedLayer, int] | None = None) -> None:
        """Note that the labels were exported as they were then."""
        for tracked, number in (self.edits() if edits is None else edits).items():
            tracked.exported = number

    def touched(self) -> list[Plane]:
        """Return every plane that was segmented or painted, in either layer."""
        planes = (plane for tracked in self.tracked.values() for plane in tracked.touched())
        return list(dict.fromkeys(planes))

    def settle(self) -> None:
        """Finish pending writes into the label layers."""
        for tracked in self.tracked.values():
            tracked.settle()

    def snapshots(self, plane: Plane, *, decided: bool = False) -> PlaneSnapshots:
        """Return snapshots of a plane in the label layers, for a worker."""
        return PlaneSnapshots(
            {
                kind: self.tracked[kind].snapshot(plane)
                for kind in (PSEUDO, LABELS)
                if kind in self.tracked
                and self.tracked[kind].layer is not None
                and (not decided or self.tracked[kind].has_decisions(plane))
            }
        )

    def decided(self, plane: Plane) -> NDArray[np.uint8] | None:
        """Return the annotator's decisions from both layers; the refined labels win.

        Returns ``(H, W)`` uint8, 255 where nothing was decided; None if nothing was.
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
        return to_corrections(self.decided(plane))

    def keep_for_restore(self, decided: Mapping[Plane, NDArray[np.uint8]]) -> int:
        """Keep decisions whose layer is gone, to be offered again; return how many pixels."""
        now, claim = time.time(), self.claim
        found = {plane: to_corrections(merge(values)) for plane, values in decided.items()}
        kept = {plane: values for plane, values in found.items() if values is not None}
        for plane, values in kept.items():
            path = None if claim is None else claim.path(plane)
            self.left_over = [*self.left_over, Saved(plane, values, self.classes, now, path)]
            if claim is not None:
                claim.save(plane, values.copy, self.classes)
        if claim is not None:
            claim.renew()
        return sum(int((values >= 0).sum()) for values in kept.values())

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


_CLOSED_WIDGET_SESSIONS: weakref.WeakKeyDictionary[Image, ImageSession] = (
    weakref.WeakKeyDictionary()
)
"""Sessions of widgets that were closed, for the next widget in the same viewer."""


def _no_image() -> None:
    """Return no image: the session's was replaced."""


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

    def keep_for_next_widget(self) -> None:
        """Keep every session for the next widget when this one closes."""
        _CLOSED_WIDGET_SESSIONS.update(self._sessions)

    def reclaim(self, image: Image) -> ImageSession | None:
        """Return the session that a closed widget left for an image, None if there is none."""
        session = _CLOSED_WIDGET_SESSIONS.pop(image, None)
        if session is None or session.shape != level_shape(image):
            return None
        self._sessions[image] = session
        return session

    def replace_session(self, image: Image) -> ImageSession:
        """Start a session without labels for an image whose shape changed; the class list stays."""
        before = self._sessions[image]
        new = self._sessions[image] = ImageSession(image, before.classes)
        new.hidden, new.offered, new.followed = before.hidden, before.offered, before.followed
        new.suggestions = before.suggestions
        before.detach()
        return new

    def __iter__(self) -> Iterator[ImageSession]:
        return iter(list(self._sessions.values()))

    def owner_of(self, layer: Labels) -> tuple[ImageSession, TrackedLayer] | None:
        """Return the session and tracked layer a label layer belongs to."""
        for session in self:
            for tracked in session.tracked.values():
                if tracked.layer is layer:
                    return session, tracked
        return None
