"""What the worker thread runs: calls of the engine, as generators that can be stopped.

Nothing here touches a layer or a widget. The engine, and with it torch, is imported when the
first job starts, never when the widget opens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.changes import Change, changes_between
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.limits import Limits
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.annotation.decisions import UNLABELLED, Patch, Standings, label_values, only
from napari_wildseg.gui.imports import import_steps

if TYPE_CHECKING:
    from napari_wildseg.engine.memory import ClassMemory, ImageRecord, Source
    from napari_wildseg.engine.models.clip_model import CLIPModel
    from napari_wildseg.engine.result import Result
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.gui.jobs.windowed_segmenter import WindowedSegmenter
    from napari_wildseg.gui.layers.display import PlaneSource

    AnySegmenter: TypeAlias = Segmenter | WindowedSegmenter


class NotDownloadedError(WildsegError):
    """The model is known but not on this machine.

    Parameters
    ----------
    model : str
        The model string.
    message : str
        What to tell the annotator.
    """

    def __init__(self, model: str, message: str) -> None:
        super().__init__(message)
        self.model = model


@dataclass
class EngineSlot:
    """The engine's state for one plane. Only the worker thread looks inside."""

    segmenter: AnySegmenter | None = None
    made_for: tuple[object, ...] = ()
    image: tuple[object, ...] | None = None
    asked: tuple[tuple[object, ...], ...] | None = None

    def empty(self) -> None:
        """Give the memory back."""
        self.segmenter = None
        self.made_for = ()
        self.image = self.asked = None


class EnginePool:
    """Keeps the encodings of the planes used last, and the model they share.

    Parameters
    ----------
    size : int
        How many planes stay encoded.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._slots: OrderedDict[int, EngineSlot] = OrderedDict()
        self.models: dict[str, CLIPModel] = {}

    def use(self, slot: EngineSlot) -> None:
        """Note that a plane is worked on, and empty the one unused for longest."""
        self._slots[id(slot)] = slot
        self._slots.move_to_end(id(slot))
        while len(self._slots) > self._size:
            self._slots.popitem(last=False)[1].empty()

    def clear(self) -> None:
        """Give up every encoding and the model."""
        while self._slots:
            self._slots.popitem()[1].empty()
        self.models.clear()


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
    memory: ClassMemory | None = None
    """What earlier images taught; asked when classes are looked for."""


@dataclass(frozen=True)
class Difference:
    """What a run changed in labels that were there before, painted pixels left out.

    Attributes
    ----------
    changes : list of Change
        Class by class.
    painted : frozenset of int
        Labels that were painted since the result before.
    pixels : Patch
        The changed pixels.
    """

    changes: list[Change]
    painted: frozenset[int]
    pixels: Patch


@dataclass(frozen=True)
class Outcome:
    """What a job brings back."""

    pseudo_labels: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    notices: tuple[str, ...]
    seconds: dict[str, float]
    settings: dict[str, Any]
    model: str
    standings: Standings | None = None
    """What the job started from: how the plane still stands, unless somebody painted since."""
    difference: Difference | None = None
    """From the labels that were there; None where there were none."""


def segment_steps(request: Request, standings: Standings, *, refine: bool) -> Steps[Outcome]:
    """Encode if need be, find the classes, and refine with the corrections there are.

    Parameters
    ----------
    request : Request
        The plane and the classes.
    standings : Standings
        How the plane stood when this was asked for; what was corrected then.
    refine : bool
        Whether refined labels are wanted.

    Returns
    -------
    Outcome
        The result.
    """
    corrections = standings.corrections(info.id for info in request.classes)
    segmenter = yield from _prepare(request, fresh=True)
    at_once = refine and corrections is None
    result = yield from _segment(request, segmenter, refine=at_once)
    if refine and not at_once:
        result = yield from segmenter.refine_steps(corrections)
    return _outcome(result, refined=refine, standings=standings, limits=request.limits)


def refine_steps(request: Request, standings: Standings) -> Steps[Outcome]:
    """Refine with corrections; a changed class list or a lost encoding is made good first.

    Parameters
    ----------
    request : Request
        The plane and the classes.
    standings : Standings
        As for `segment_steps`.

    Returns
    -------
    Outcome
        The result.
    """
    corrections = standings.corrections(info.id for info in request.classes)
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.asked != _asked(request.classes):
        yield from _segment(request, segmenter, refine=False)
    segmenter.threshold = request.threshold
    if request.prior is None:
        result = yield from segmenter.refine_steps(corrections)
    else:
        if request.source.is_windowed:
            raise InputError(
                "Labels that were opened can be refined in planes of up to 4 million pixels: "
                "crop the image, or press Auto-segment, which keeps what you paint."
            )
        prior = only(request.prior, (info.id for info in request.classes), UNLABELLED)
        result = yield from cast("Segmenter", segmenter).refine_steps(
            corrections, pseudo_labels=prior
        )
    return _outcome(result, refined=True, standings=standings, limits=request.limits)


def carry_steps(
    known: Sequence[tuple[Request, NDArray[np.uint8]]],
    request: Request,
    standings: Standings,
) -> Steps[Outcome]:
    """Label a plane by planes whose labels are known.

    Parameters
    ----------
    known : sequence of (Request, ndarray)
        Planes of the same stack with their labels: ``(H, W)`` 0, class ids, 255 for unknown.
    request : Request
        The plane that is asked about.
    standings : Standings
        The plane's own, as for `segment_steps`; its corrections win.

    Returns
    -------
    Outcome
        The result.
    """
    corrections = standings.corrections(info.id for info in request.classes)
    looks = []
    for source, labels in known:
        other = yield from _prepare(source, fresh=False)
        looks.append((other.look(), labels))
    segmenter = yield from _prepare(request, fresh=True)
    yield from _segment(request, segmenter, refine=False)
    from napari_wildseg.engine.stacks.segment_stack import carried_steps

    result = yield from carried_steps(
        cast("Segmenter", segmenter), looks, request.classes, corrections
    )
    return _outcome(result, refined=True, standings=standings, limits=request.limits)


def threshold_steps(request: Request) -> Steps[Outcome]:
    """Apply a threshold to the relevance maps; nothing is encoded again if it can be helped."""
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.asked != _asked(request.classes):
        yield from _segment(request, segmenter, refine=False)
    seeds = segmenter.pseudo_labels(request.threshold)
    return Outcome(seeds, None, (), {}, {}, request.model)


def suggest_steps(request: Request, vocabulary: str, top: int) -> Steps[list[tuple[str, float]]]:
    """Name what the image may show."""
    segmenter = yield from _prepare(request, fresh=True)
    yield Progress(0, 1, "Looking for names")
    return segmenter.suggest(vocabulary=vocabulary, top=top)


def relevance_steps(request: Request, class_id: int) -> Steps[NDArray[np.float32]]:
    """Return the relevance map of one class; of a large plane on a coarser grid that tiles it."""
    segmenter = yield from _prepare(request, fresh=False)
    if request.slot.asked != _asked(request.classes) or segmenter.result is None:
        yield from _segment(request, segmenter, refine=False)
    assert segmenter.result is not None
    position = [c.id for c in request.classes].index(class_id)
    return np.asarray(segmenter.result.relevance[position], np.float32)


@dataclass(frozen=True)
class Recorded:
    """A record for a class memory, and what it was made with."""

    record: ImageRecord
    source: Source


def record_steps(
    request: Request, labels: NDArray[np.uint8], name: str, finished: bool, *, encode: bool
) -> Steps[Recorded | None]:
    """Make a record of a labelled plane.

    Parameters
    ----------
    request : Request
        The plane and the classes.
    labels : ndarray
        ``(H, W)`` uint8: 0, class ids, 255 where nothing is known.
    name : str
        What the annotator knows the image by.
    finished : bool
        Whether the labels are right, or only corrected here and there.
    encode : bool
        Whether to encode a plane that is not encoded any more.

    Returns
    -------
    Recorded or None
        None if the plane would have to be encoded.
    """
    slot = request.slot
    held = slot.segmenter is not None and slot.image == request.source.key
    if not encode and not (held and slot.asked == _asked(request.classes)):
        return None
    segmenter = cast("Segmenter", (yield from _prepare(request, fresh=True)))
    if slot.asked != _asked(request.classes):
        yield from _segment(request, segmenter, refine=False)
    known = np.isin(labels, [0, 255, *(info.id for info in request.classes)])
    labels = np.where(known, labels, 255).astype(np.uint8)
    record = segmenter.record(labels=labels, finished=finished, name=name)
    return Recorded(record, segmenter.source)


def download_job(model: str) -> Steps[str]:
    """Fetch a model; returns its string."""
    from napari_wildseg.engine.models.weights.download import download_steps

    yield from download_steps(model)
    return model


def release_steps(pool: EnginePool) -> Steps[None]:
    """Give up the model and the encodings, on the thread that uses them."""
    yield Progress(0, 1, "Letting go")
    pool.clear()


def _load(segmenter: AnySegmenter, model: str) -> CLIPModel:
    """Load the model of a segmenter; where it only has to be fetched, say so."""
    try:
        return segmenter.model
    except InputError:
        raise
    except WildsegError as error:
        from napari_wildseg.engine.models.weights.download import is_downloadable

        if not is_downloadable(model):
            raise
        raise NotDownloadedError(model, str(error)) from error


def _prepare(request: Request, *, fresh: bool) -> Steps[AnySegmenter]:
    """Return a segmenter that holds the image; with ``fresh`` the image as it is shown now."""
    slot = request.slot
    request.pool.use(slot)
    windowed = request.source.is_windowed
    made_for = (request.model, windowed, tuple(sorted(request.options.items())))
    if slot.segmenter is None or slot.made_for != made_for:
        slot.empty()
        yield from import_steps()
        yield Progress(0, 0, f"Loading the model {request.model}")
        model = request.pool.models.get(request.model, request.model)
        segmenter = _make(request, model)
        if request.model not in request.pool.models:
            # One model at a time: the planes that used another one load it again when asked.
            request.pool.models = {request.model: _load(segmenter, request.model)}
        slot.segmenter, slot.made_for = segmenter, made_for
    segmenter = slot.segmenter
    if slot.image is None or (fresh and slot.image != request.source.key):
        slot.image = slot.asked = None
        yield Progress(0, 0, "Reading the image")
        shown: Any = request.source if windowed else request.source.read()
        yield from segmenter.set_image_steps(shown)
        slot.image = request.source.key
    return segmenter


def _make(request: Request, model: str | CLIPModel) -> AnySegmenter:
    """Return a new segmenter of the kind that suits the plane."""
    if request.source.is_windowed:
        from napari_wildseg.gui.jobs.windowed_segmenter import WindowedSegmenter

        return WindowedSegmenter(model, threshold=request.threshold, **request.options)
    from napari_wildseg.engine.segmenter import Segmenter

    return Segmenter(model=model, threshold=request.threshold, **request.options)


def _segment(request: Request, segmenter: AnySegmenter, *, refine: bool) -> Steps[Result]:
    request.slot.asked = None
    if not request.source.is_windowed:
        _set_memory(cast("Segmenter", segmenter), request.memory)
    result = yield from segmenter.segment_steps(
        request.classes, threshold=request.threshold, refine=refine
    )
    request.slot.asked = _asked(request.classes)
    return result


def _set_memory(segmenter: Segmenter, memory: ClassMemory | None) -> None:
    """Let a segmenter use a memory, unless it belongs to another model or other views."""
    segmenter.memory = None
    if memory is not None:
        with suppress(InputError):
            memory.check(segmenter.source)
            segmenter.memory = memory


def _asked(classes: Sequence[ClassInfo]) -> tuple[tuple[object, ...], ...]:
    return tuple((info.id, info.name, *info.prompts) for info in classes)


def _outcome(result: Result, *, refined: bool, standings: Standings, limits: Limits) -> Outcome:
    labels, difference = result.labels if refined else None, None
    if labels is not None and (before := standings.refined) is not None:
        present = label_values(before.data)
        painted, decided = standings.painted(), standings.decided()
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
        standings=standings,
        difference=difference,
    )
