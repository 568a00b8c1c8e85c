"""What the worker thread runs: calls of the engine process, as generators that can be stopped.

Nothing here touches a layer or a widget, and PyTorch is not imported.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.changes import Change, changes_between
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.limits import Limits
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    Patch,
    PlaneSnapshots,
    label_values,
    only,
)
from napari_wildseg.process.messages import EngineResult, Suggested
from napari_wildseg.process.remote import Memory, RemoteSegmenter

if TYPE_CHECKING:
    from napari_wildseg.gui.layers.display import PlaneSource
    from napari_wildseg.process.client import Engine


@dataclass
class EngineSlot:
    """What the engine process holds for one plane. Only the worker thread looks inside."""

    segmenter: RemoteSegmenter | None = None
    settings_key: tuple[object, ...] = ()
    image: tuple[object, ...] | None = None
    segmented_classes: tuple[tuple[object, ...], ...] | None = None

    def empty(self) -> None:
        """Free the memory."""
        if self.segmenter is not None and self.segmenter.alive:
            self.segmenter.engine.drop([self.segmenter.number])
        self.segmenter = None
        self.settings_key = ()
        self.image = self.segmented_classes = None


class EnginePool:
    """Keeps the encodings of the planes used last."""

    def __init__(self, engine: Engine, size: int = 4) -> None:
        self.engine = engine
        self._size = size
        self._slots: OrderedDict[int, EngineSlot] = OrderedDict()

    def use(self, slot: EngineSlot) -> None:
        """Note that a plane is worked on, and empty the one unused for longest."""
        self._slots[id(slot)] = slot
        self._slots.move_to_end(id(slot))
        while len(self._slots) > self._size:
            self._slots.popitem(last=False)[1].empty()

    def clear(self) -> None:
        """Drop every encoding."""
        while self._slots:
            self._slots.popitem()[1].empty()


@dataclass(frozen=True)
class Request:
    """What a job needs, noted on the GUI thread."""

    pool: EnginePool
    slot: EngineSlot
    source: PlaneSource
    classes: tuple[ClassInfo, ...]
    threshold: float
    model: str = "starter"
    options: dict[str, Any] = field(default_factory=dict)
    prior: NDArray[np.uint8] | None = None
    """Labels to refine instead of the model's pseudo-labels."""
    limits: Limits = field(default_factory=Limits)
    memory: Memory | None = None
    """The class memory to use."""


@dataclass(frozen=True)
class Difference:
    """What a run changed in labels that were there before, painted pixels left out."""

    changes: list[Change]  # class by class
    painted: frozenset[int]  # labels that were painted since the result before
    pixels: Patch  # the changed pixels


@dataclass(frozen=True)
class Outcome:
    """The result of a job."""

    pseudo_labels: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    notices: tuple[str, ...]
    seconds: dict[str, float]
    settings: dict[str, Any]
    model: str
    snapshots: PlaneSnapshots | None = None
    """The snapshots that the job started from."""
    difference: Difference | None = None
    """From the labels that were there; None where there were none."""


def segment_steps(request: Request, snapshots: PlaneSnapshots, *, refine: bool) -> Steps[Outcome]:
    """Encode if need be, find the classes, and refine with the corrections there are."""
    corrections = snapshots.corrections(info.id for info in request.classes)
    segmenter = yield from _prepare(request, fresh=True)
    at_once = refine and corrections is None
    result = yield from _segment(request, segmenter, refine=at_once)
    if refine and not at_once:
        result = yield from _refine(request, segmenter, corrections, None)
    return _outcome(result, refined=refine, snapshots=snapshots, limits=request.limits)


def refine_steps(request: Request, snapshots: PlaneSnapshots) -> Steps[Outcome]:
    """Refine with corrections; encodes and segments again first where needed."""
    corrections = snapshots.corrections(info.id for info in request.classes)
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.segmented_classes != _class_key(request.classes):
        yield from _segment(request, segmenter, refine=False)
    prior = request.prior
    if prior is not None and request.source.is_windowed:
        raise InputError(
            "Labels that were opened can be refined in planes of up to 4 million pixels: "
            "crop the image, or press Auto-segment, which keeps what you paint."
        )
    if prior is not None:
        prior = only(prior, (info.id for info in request.classes), UNLABELLED)
    result = yield from _refine(request, segmenter, corrections, prior)
    return _outcome(result, refined=True, snapshots=snapshots, limits=request.limits)


def carry_steps(
    known: Sequence[tuple[Request, NDArray[np.uint8]]], request: Request, snapshots: PlaneSnapshots
) -> Steps[Outcome]:
    """Label a plane by planes whose labels are known."""
    corrections = snapshots.corrections(info.id for info in request.classes)
    others = []
    for source, labels in known:
        other = yield from _prepare(source, fresh=False)
        others.append((other.number, labels))
    segmenter = yield from _prepare(request, fresh=True)
    yield from _segment(request, segmenter, refine=False)
    known_planes = {"known": others, "classes": request.classes}
    result = yield from segmenter.call("carry", corrections=corrections, **known_planes)
    return _outcome(result, refined=True, snapshots=snapshots, limits=request.limits)


def threshold_steps(request: Request) -> Steps[Outcome]:
    """Apply a threshold to the relevance maps; encodes again only if needed."""
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.segmented_classes != _class_key(request.classes):
        yield from _segment(request, segmenter, refine=False)
    seeds = yield from segmenter.call("pseudo_labels", threshold=request.threshold)
    return Outcome(seeds, None, (), {}, {}, request.model)


def suggest_steps(request: Request, vocabulary: str, top: int) -> Steps[Suggested]:
    """Name what the image may show, the classes of the memory first, and where."""
    segmenter = yield from _prepare(request, fresh=True)
    # A large plane is not segmented before names are looked for.
    memory = None if request.source.is_windowed else request.memory
    if memory is not None:
        request.slot.segmented_classes = None  # the engine segments into the memory's classes
    found: Suggested = yield from segmenter.call(
        "suggest", vocabulary=vocabulary, top=top, memory=segmenter.send_memory(memory)
    )
    return found


def relevance_steps(request: Request, class_id: int) -> Steps[NDArray[np.float32]]:
    """Return the relevance map of one class; of a large plane on a coarser grid that tiles it."""
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.segmented_classes != _class_key(request.classes):
        yield from _segment(request, segmenter, refine=False)
    place = [info.id for info in request.classes].index(class_id)
    relevance: NDArray[np.float32] = yield from segmenter.call("relevance", place=place)
    return relevance


@dataclass(frozen=True)
class Recorded:
    """A record for a class memory, which only the engine process reads."""

    record: bytes
    digest: str
    """Of the image."""


def record_steps(
    request: Request, labels: NDArray[np.uint8], name: str, finished: bool, *, encode: bool
) -> Steps[Recorded | None]:
    """Make a record of a labelled plane.

    `labels`: ``(H, W)`` uint8: 0, class ids, 255 where nothing is known.
    """
    slot = request.slot
    segmenter = slot.segmenter
    held = segmenter is not None and segmenter.alive and slot.image == request.source.key
    if not encode and not (held and slot.segmented_classes == _class_key(request.classes)):
        return None
    segmenter = yield from _prepare(request, fresh=True)
    if slot.segmented_classes != _class_key(request.classes):
        yield from _segment(request, segmenter, refine=False)
    known = np.isin(labels, [0, 255, *(info.id for info in request.classes)])
    labels = np.where(known, labels, 255).astype(np.uint8)
    found = yield from segmenter.call("record", labels=labels, finished=finished, name=name)
    return Recorded(found["record"], found["digest"])


def download_job(engine: Engine, model: str) -> Steps[str]:
    """Fetch a model; returns its string."""
    yield from engine.call("download", model=model)
    return model


def release_steps(pool: EnginePool, *, end: bool) -> Steps[None]:
    """Drop the encodings, and with ``end`` stop the process that holds the model."""
    yield Progress(0, 1, "Freeing memory")
    pool.clear()
    if end:
        pool.engine.stop()


def _prepare(request: Request, *, fresh: bool) -> Steps[RemoteSegmenter]:
    """Return a segmenter that holds the image; with ``fresh`` the image as it is shown now."""
    slot, source = request.slot, request.source
    request.pool.use(slot)
    settings_key = (request.model, source.is_windowed, tuple(sorted(request.options.items())))
    segmenter = slot.segmenter
    if segmenter is None or not segmenter.alive or slot.settings_key != settings_key:
        slot.empty()
        segmenter = RemoteSegmenter(request.pool.engine, windowed=source.is_windowed)
        yield from segmenter.open_steps(request.model, request.threshold, request.options)
        slot.segmenter, slot.settings_key = segmenter, settings_key
    if slot.image is None or (fresh and slot.image != source.key):
        slot.image = slot.segmented_classes = None
        yield Progress(0, 0, "Reading the image")
        yield from segmenter.set_image_steps(source)
        slot.image = source.key
    return segmenter


def _segment(request: Request, segmenter: RemoteSegmenter, *, refine: bool) -> Steps[EngineResult]:
    request.slot.segmented_classes = None
    how = {"threshold": request.threshold, "refine": refine}
    memory = segmenter.send_memory(request.memory)
    found: EngineResult = yield from segmenter.call(
        "segment", classes=request.classes, memory=memory, **how
    )
    request.slot.segmented_classes = _class_key(request.classes)
    return found


def _refine(
    request: Request,
    segmenter: RemoteSegmenter,
    corrections: NDArray[np.int16] | None,
    prior: NDArray[np.uint8] | None,
) -> Steps[EngineResult]:
    how = {"threshold": request.threshold, "pseudo_labels": prior}
    found: EngineResult = yield from segmenter.call("refine", corrections=corrections, **how)
    return found


def _class_key(classes: Sequence[ClassInfo]) -> tuple[tuple[object, ...], ...]:
    return tuple((info.id, info.name, *info.prompts) for info in classes)


def _outcome(
    result: EngineResult, *, refined: bool, snapshots: PlaneSnapshots, limits: Limits
) -> Outcome:
    labels, difference = result.labels if refined else None, None
    if labels is not None and (before := snapshots.refined) is not None:
        present = label_values(before.data)
        painted, decided = snapshots.painted(), snapshots.decided()
        free = None if decided is None else np.where(decided == UNLABELLED, np.int16(-1), decided)
        labels = limits.apply(present, labels, painted, free)
        marked = [] if painted is None or decided is None else np.unique(decided[painted]).tolist()
        # The annotator painted those pixels in this layer, or in the other.
        fixed = present if decided is None else np.where(decided == UNLABELLED, present, decided)
        difference = Difference(
            changes_between(fixed, labels), frozenset(marked), Patch.between(fixed, labels)
        )
    return Outcome(
        pseudo_labels=result.pseudo_labels,
        labels=labels,
        notices=tuple(result.notices),
        seconds=dict(result.seconds),
        settings={**result.settings, **limits.to_settings()},
        model=result.model,
        snapshots=snapshots,
        difference=difference,
    )
