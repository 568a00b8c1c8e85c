"""What the window can ask the engine process for: each call is a generator of `Progress`.

The first argument of every call reads boxes of a plane that stays in the window.
"""

import gc
import pickle
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.auto_segment import suggest_steps
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, NotDownloadedError, WildsegError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.memory.records import record_digest
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.catalogue import CATALOGUE
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.weights.download import download_steps, is_downloadable
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.result import Result
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.engine.stacks.segment_stack import carried_steps
from napari_wildseg.process.messages import EngineResult, Suggested
from napari_wildseg.process.server import Reader
from napari_wildseg.process.windowed import RemotePlane, WindowedSegmenter

AnySegmenter: TypeAlias = Segmenter | WindowedSegmenter


class Calls:
    """Holds the models, the segmenters of the planes and the class memory of the runs."""

    def __init__(self) -> None:
        self._segmenters: dict[int, AnySegmenter] = {}
        self._models: dict[str, CLIPModel] = {}
        self._memory: tuple[int, ClassMemory] | None = None

    # ------------------------------------------------------------------ model and image

    def warm(self, read: Reader, *, model: str) -> Steps[None]:
        """Load a model and use it once on a tiny image: libraries import parts of it late."""
        if self._models:
            return
        self._models[model] = self._load(model)
        segmenter = Segmenter(self._models[model], views="single")
        rng = np.random.default_rng(0)
        yield from segmenter.set_image_steps(rng.integers(0, 255, (64, 64, 3), np.uint8))
        yield from segmenter.segment_steps("cat, dog")

    def open(
        self,
        read: Reader,
        *,
        plane: int,
        model: str,
        windowed: bool,
        threshold: float,
        options: dict[str, Any],
    ) -> Steps[None]:
        """Make the segmenter of a plane."""
        yield Progress(0, 0, f"Loading the model {model}")
        if model not in self._models:
            used = {each.model.name for each in self._segmenters.values()}
            self._models = {name: m for name, m in self._models.items() if m.name in used}
            self._models[model] = self._load(model)
        kind = WindowedSegmenter if windowed else Segmenter
        self._segmenters[plane] = kind(self._models[model], threshold=threshold, **options)

    def drop(self, read: Reader, *, planes: list[int]) -> Steps[None]:
        """Drop segmenters and what they hold; other planes stay."""
        yield Progress(0, 1, "Freeing memory")
        for plane in planes:
            self._segmenters.pop(plane, None)
        gc.collect()

    def set_image(
        self,
        read: Reader,
        *,
        plane: int,
        image: NDArray[Any] | None,
        size: tuple[int, int],
        dtype: np.dtype[Any],
    ) -> Steps[None]:
        """Encode the plane; without an image, its boxes are read from the window."""
        segmenter = self._segmenters[plane]
        if isinstance(segmenter, WindowedSegmenter):
            remote = RemotePlane((*size, 3), dtype)
            remote.reader = read
            segmenter.plane = remote
            yield from segmenter.set_image_steps(remote)
        else:
            yield from segmenter.set_image_steps(image)

    # ------------------------------------------------------------------ labels

    def segment(
        self,
        read: Reader,
        *,
        plane: int,
        classes: Sequence[ClassInfo],
        threshold: float,
        refine: bool,
        memory: int,
    ) -> Steps[EngineResult]:
        """Segment; ``memory`` is the number of the class memory that is held, 0 for none."""
        segmenter = self._segmenter(plane, read)
        self._set_memory(segmenter, memory)
        result = yield from segmenter.segment_steps(classes, threshold=threshold, refine=refine)
        return _to_engine_result(result)

    def refine(
        self,
        read: Reader,
        *,
        plane: int,
        threshold: float,
        corrections: NDArray[np.int16] | None,
        pseudo_labels: NDArray[np.uint8] | None,
    ) -> Steps[EngineResult]:
        """Refine with corrections, perhaps from labels instead of the pseudo-labels."""
        segmenter = self._segmenter(plane, read)
        segmenter.threshold = threshold
        if isinstance(segmenter, Segmenter):
            result = yield from segmenter.refine_steps(corrections, pseudo_labels=pseudo_labels)
        else:
            result = yield from segmenter.refine_steps(corrections)
        return _to_engine_result(result)

    def carry(
        self,
        read: Reader,
        *,
        plane: int,
        known: list[tuple[int, NDArray[np.uint8]]],
        classes: Sequence[ClassInfo],
        corrections: NDArray[np.int16] | None,
    ) -> Steps[EngineResult]:
        """Label a plane by planes whose labels are known: pairs of a plane and its labels."""
        features = [(self._segmenters[other].plane_features(), labels) for other, labels in known]
        segmenter = self._segmenter(plane, read)
        result = yield from carried_steps(
            cast("Segmenter", segmenter), features, classes, corrections
        )
        return _to_engine_result(result)

    def pseudo_labels(
        self, read: Reader, *, plane: int, threshold: float
    ) -> Steps[NDArray[np.uint8]]:
        """Apply a threshold to the relevance maps."""
        yield Progress(0, 1, "Labelling")
        return self._segmenter(plane, read).pseudo_labels(threshold)

    def relevance(self, read: Reader, *, plane: int, place: int) -> Steps[NDArray[np.float32]]:
        """Return the relevance map of a class; of a large plane on a coarser grid."""
        yield Progress(0, 1, "Finding the classes")
        result = self._segmenter(plane, read).result
        assert result is not None
        return np.asarray(result.relevance[place], np.float32)

    def suggest(
        self, read: Reader, *, plane: int, vocabulary: str, top: int, memory: int
    ) -> Steps[Suggested]:
        """Name what the image may show, and where; ``memory`` as for `segment`."""
        segmenter = self._segmenter(plane, read)
        recalled: dict[str, NDArray[np.float32]] = {}
        if isinstance(segmenter, Segmenter):
            self._set_memory(segmenter, memory)
            found = yield from suggest_steps(segmenter, vocabulary, top)
            if segmenter.memory is not None and segmenter.result is not None:
                recalled = _reduced_maps(segmenter.result)
        else:
            yield Progress(0, 1, "Looking for names")
            found = segmenter.suggest(vocabulary=vocabulary, top=top)
        names = [name for name, _ in found]
        maps = segmenter.name_maps(names) if names else ()
        # The model may not know what a word of the class memory means.
        shown = {name: recalled.get(name, one) for name, one in zip(names, maps, strict=True)}
        return Suggested(found, shown)

    # ------------------------------------------------------------------ class memory

    def hold_memory(self, read: Reader, *, number: int, data: bytes) -> Steps[None]:
        """Keep a class memory for the runs that name its number."""
        yield Progress(0, 1, "Reading what was learned")
        self._memory = number, _unpickled(data)

    def record(
        self, read: Reader, *, plane: int, labels: NDArray[np.uint8], finished: bool, name: str
    ) -> Steps[dict[str, Any]]:
        """Make a record of a labelled plane for a class memory."""
        yield Progress(0, 1, "Recording the image")
        segmenter = cast("Segmenter", self._segmenter(plane, read))
        record = segmenter.record(labels=labels, finished=finished, name=name)
        return {"record": pickle.dumps((record, segmenter.source)), "digest": record.digest}

    def learn(
        self,
        read: Reader,
        *,
        memory: bytes | None,
        alike: bool,
        record: bytes | None = None,
        forget: list[str] | None = None,
        forget_name: str | None = None,
        forget_image: NDArray[Any] | None = None,
        path: str | None = None,
    ) -> Steps[dict[str, Any]]:
        """Change a class memory and learn; returns the new one, which only this code reads."""
        yield Progress(0, 1, "Learning the classes" if path is None else f"Reading {path}")
        old = ClassMemory(alike=alike) if memory is None else _unpickled(memory)
        if path is not None:
            new = ClassMemory.load(Path(path))
            for each in old.records:
                assert old.source is not None
                new.add(each, old.source)
        else:
            new = old.copy()
            new.alike = alike
        if record is not None:
            new = new.with_record(*pickle.loads(record))
        gone = list(forget or [])
        if forget_image is not None:
            gone.append(record_digest(as_rgb(forget_image)))
            if gone[-1] not in {known.digest for known in new.images}:
                raise InputError("This image is not remembered.")
        for digest in gone:
            if digest in {known.digest for known in new.images}:
                new.forget(image=digest)
        if forget_name is not None:
            new.forget(name=forget_name)
        yield Progress(0, 1, "Learning the classes")
        new.prepare()
        classes = [[known.name, known.images, new.used(known.name)] for known in new.classes]
        return {
            "memory": pickle.dumps(new),
            "images": len(new),
            "classes": classes,
            "alike": new.alike,
        }

    def save_memory(self, read: Reader, *, memory: bytes, path: str) -> Steps[None]:
        """Write a class memory to a file; the dialog asked before replacing one."""
        yield Progress(0, 1, f"Writing {Path(path).name}")
        _unpickled(memory).save(Path(path), overwrite=True)

    # ------------------------------------------------------------------ models

    def download(self, read: Reader, *, model: str) -> Steps[None]:
        """Fetch a model."""
        yield from download_steps(model)

    # ------------------------------------------------------------------ internal

    @staticmethod
    def _load(model: str) -> CLIPModel:
        try:
            return load_model(model)
        except InputError:
            raise
        except WildsegError as error:
            if not is_downloadable(model):
                raise
            size = next((entry.megabytes for entry in CATALOGUE if entry.model == model), 0)
            raise NotDownloadedError(model, str(error), size) from error

    def _segmenter(self, plane: int, read: Reader) -> AnySegmenter:
        segmenter = self._segmenters[plane]
        if isinstance(segmenter, WindowedSegmenter) and segmenter.plane is not None:
            segmenter.plane.reader = read
        return segmenter

    def _set_memory(self, segmenter: AnySegmenter, number: int) -> None:
        """Let a segmenter use a memory, unless it belongs to another model or other views."""
        segmenter.memory = None
        if number and self._memory is not None and self._memory[0] == number:
            with suppress(InputError):
                self._memory[1].check(segmenter.source)
                segmenter.memory = self._memory[1]


def _reduced_maps(result: Result) -> dict[str, NDArray[np.float32]]:
    """Return the relevance maps by class name, with sides of at most 64."""
    grid = [np.arange(min(64, n)) * n // min(64, n) for n in result.labels.shape]
    return {
        info.name: np.asarray(result.relevance[place], np.float32)[np.ix_(*grid)]
        for place, info in enumerate(result.classes)
    }


def _to_engine_result(result: Result) -> EngineResult:
    """Return what the window needs of a result; its relevance maps stay here."""
    labels, pseudo, notices = result.labels, result.pseudo_labels, result.notices
    return EngineResult(labels, pseudo, notices, result.seconds, result.settings, result.model)


# Memories and records were pickled by this code in a process of the same window, which keeps them
# and never reads them; files hold them in a format of their own.


def _unpickled(data: bytes) -> ClassMemory:
    memory: ClassMemory = pickle.loads(data)
    return memory
