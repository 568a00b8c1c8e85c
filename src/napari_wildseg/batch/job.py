"""`BatchJob` and `Control`: what local lanes and Dask workers need to segment images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from napari_wildseg.batch.batch_settings import BatchSettings
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.memory_in_use import MemoryFile, new_segmenter
from napari_wildseg.batch.outputs import Output
from napari_wildseg.batch.plan.class_plan import ClassPlan
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import WildsegError, out_of_memory
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
from napari_wildseg.engine.maps.uncertainty import Uncertainty
from napari_wildseg.engine.progress import Steps, drain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.large import LargeSegmenter
    from napari_wildseg.engine.models.clip_model import CLIPModel
    from napari_wildseg.engine.segmenter import Segmenter

_T = TypeVar("_T")

STARTED = "Segmenting"
"""Stage of the progress once the model is loaded."""


@dataclass(frozen=True)
class ModelLoaded:
    """Message of a lane or worker that the model is loaded."""

    weights: str  # fingerprint of the model


@dataclass(frozen=True)
class BatchJob:
    """The batch as a lane or worker needs it, in addition to the image."""

    settings: BatchSettings  # settings of the segmentation
    plan: ClassPlan  # classes of each image
    output: Output  # where the files are written
    cache_dir: str | None = None  # folder for encodings of images, see `napari_wildseg.Segmenter`
    memory: MemoryFile | None = None  # the class memory

    def only(self, *names: str) -> BatchJob:
        """Return the job with known labels of these images only, to be sent to a worker."""
        known = {name: self.plan.known[name] for name in names if name in self.plan.known}
        return replace(self, plan=replace(self.plan, known=known))


class CancelledError(Exception):
    """The batch was cancelled while an image was being segmented."""


class OutputError(WildsegError):
    """The output cannot be written. Ends the batch; it is not a failure of the image."""


@dataclass(frozen=True)
class Control:
    """Cancellation of a batch, and permission to write the files of an image."""

    stop: threading.Event = field(default_factory=threading.Event)  # looked at between steps
    # Called with an image's name just before its files are written, over what is there; raises
    # `InputError` if they may not be.
    begin: Callable[[str], None] | None = None

    def run_or_cancel(self, steps: Steps[_T]) -> _T:
        """Run steps to their end; raise `CancelledError` if the batch is cancelled."""
        try:
            return drain(steps, lambda _: self.check())
        finally:
            steps.close()

    def check(self) -> None:
        """Raise `CancelledError` if the batch is cancelled."""
        if self.stop.is_set():
            raise CancelledError

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Wrap the writing of an image's files; errors become `OutputError`."""
        self.check()
        if self.begin is not None:
            self.begin(name)
        try:
            yield
        except WildsegError as error:
            raise OutputError(str(error)) from error


def start_segmenter(job: BatchJob, model: CLIPModel | None = None) -> Segmenter:
    """Return a segmenter with all texts of the batch encoded.

    All texts are encoded in one call, since the last bits of a text vector depend on the other
    texts of the call. Results so do not depend on the order of the images.
    """
    how = job.settings
    segmenter = new_segmenter(how, job.output.folder, job.cache_dir, model)
    if job.memory is not None:
        segmenter.memory = job.memory.load()
    if model is None:
        from napari_wildseg.engine.relevance import get_method

        # A method or memory that does not fit the model fails here, not for each image.
        get_method(how.method, segmenter.model)
        if segmenter.memory is not None:
            segmenter.memory.check(segmenter.source)
        prompts = [prompt for info in job.plan.classes for prompt in info.prompts]
        segmenter.model.encode_text([*prompts, *segmenter.background])
    return segmenter


def record_of(
    job: BatchJob,
    item: WorkItem,
    size: tuple[int, int],
    counts: NDArray[np.int64],
    classes: Sequence[ClassInfo],
    doubt: Uncertainty,
    notices: tuple[str, ...] = (),
    look: tuple[float, ...] = (),
) -> Record:
    """Return the record of an image whose files are written.

    `size`: ``(H, W)``; `counts`: ``(256,)`` int64: pixels of each label.
    """
    values = [info.id for info in classes]
    if counts[UNLABELLED]:
        values.append(UNLABELLED)
    return Record(
        item.name,
        item.path,
        files=tuple(job.output.files(item.name)),
        size=size,
        classes={value: int(counts[value]) for value in values},
        uncertainty=doubt.to_json(),
        notices=notices,
        memory="" if job.memory is None else job.memory.short,
        look=look,
    )


def failure_of(error: Exception) -> str:
    """Return a sentence that describes why an image failed."""
    if isinstance(error, WildsegError):
        return " ".join(str(error).split())
    if out_of_memory(error):
        return "there is not enough memory for this image: make it smaller."
    detail = " ".join(str(error).split())[:300]
    name = type(error).__name__
    return f"something went wrong inside ({f'{name}: {detail}' if detail else name})."


def choose_classes(
    segmenter: Segmenter | LargeSegmenter, plan: ClassPlan
) -> tuple[tuple[ClassInfo, ...], Uncertainty]:
    """Return the classes that the model finds in the current image.

    With them comes an `Uncertainty` for images without any: the highest score of a class that was
    not found.
    """
    names = [info.name for info in plan.classes]
    if plan.mode == "auto":
        found = segmenter.suggest(names, top=MAX_CLASSES)
    else:  # names given for this folder, not a vocabulary
        found = segmenter.name_shares(names)[:MAX_CLASSES]
    chosen = {name for name, score in found if score >= PRESENT_SCORE}
    if plan.mode == "auto":
        chosen.add(found[0][0])
    near = max((float(score) for name, score in found if name not in chosen), default=0.0)
    near = min(max(near, 0.0), 1.0)
    classes = tuple(info for info in plan.classes if info.name in chosen)
    return classes, Uncertainty(near, 0.0, 0.0, near)


NONE_FOUND = "None of the classes was found in the image."
"""Notice of an image in which none of the classes was found."""
