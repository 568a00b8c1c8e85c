"""What everybody who does images of a batch needs: the job, and how it is told to stop."""

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
from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.maps.thresholds import CUT
from napari_wildseg.engine.maps.uncertainty import Uncertainty
from napari_wildseg.engine.progress import Steps, drain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.engine.large import LargeSegmenter
    from napari_wildseg.engine.models.clip_model import CLIPModel
    from napari_wildseg.engine.segmenter import Segmenter

T = TypeVar("T")

STARTED = "Segmenting"
"""What a batch says when the model is loaded and the first image begun."""


@dataclass(frozen=True)
class Loaded:
    """What whoever does the images says when the model is loaded.

    Attributes
    ----------
    weights : str
        Its fingerprint.
    """

    weights: str


@dataclass(frozen=True)
class Job:
    """All that a worker, here or elsewhere, needs to know besides the image.

    Attributes
    ----------
    settings : BatchSettings
        How images are segmented.
    plan : ClassPlan
        Into which classes.
    output : Output
        Where the files go.
    cache_dir : str or None
        Folder for encodings of images, see `napari_wildseg.Segmenter`.
    memory : MemoryFile or None
        The class memory.
    """

    settings: BatchSettings
    plan: ClassPlan
    output: Output
    cache_dir: str | None = None
    memory: MemoryFile | None = None

    def only(self, *names: str) -> Job:
        """Return the same job with what some images need, to be sent with them.

        Parameters
        ----------
        *names : str
            The images' names.
        """
        known = {name: self.plan.known[name] for name in names if name in self.plan.known}
        return replace(self, plan=replace(self.plan, known=known))


class CancelledError(Exception):
    """The batch was cancelled while this image was being done."""


class OutputError(WildsegError):
    """The output cannot be written: no failure of the image, and the end of the run."""


@dataclass(frozen=True)
class Control:
    """How whoever does images is told to stop, and asks whether files may be written.

    Attributes
    ----------
    stop : threading.Event
        Looked at between steps.
    begin : callable, optional
        Called with an image's name just before its files are written, over what is there;
        raises `InputError` if they may not be.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    begin: Callable[[str], None] | None = None

    def until_done(self, steps: Steps[T]) -> T:
        """Run steps to their end.

        Parameters
        ----------
        steps : generator
            Of `Progress`.

        Raises
        ------
        CancelledError
            If the batch is cancelled meanwhile.
        """
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
        """Write an image's files inside of this.

        Parameters
        ----------
        name : str
            The image's name.

        Raises
        ------
        InputError
            If they may not be written.
        OutputError
            If they cannot be written.
        """
        self.check()
        if self.begin is not None:
            self.begin(name)
        try:
            yield
        except WildsegError as error:
            raise OutputError(str(error)) from error


def start_segmenter(job: Job, model: CLIPModel | None = None) -> Segmenter:
    """Return a segmenter whose text rows are ready.

    All texts of the batch are encoded together before the first image: what a text tower gives
    depends in its last bits on what it encodes along with it, and results must not depend on
    which image happens to be first.

    Parameters
    ----------
    job : Job
        The batch.
    model : CLIPModel, optional
        The model, if it is loaded already.
    """
    how = job.settings
    segmenter = new_segmenter(how, job.output.folder, job.cache_dir, model)
    if job.memory is not None:
        segmenter.memory = job.memory.load()
    if model is None:
        from napari_wildseg.engine.relevance import get_method

        # What does not fit fails here, not per image.
        get_method(how.method, segmenter.model)
        if segmenter.memory is not None:
            segmenter.memory.check(segmenter.source)
        prompts = [prompt for info in job.plan.classes for prompt in info.prompts]
        segmenter.model.encode_text([*prompts, *segmenter.background])
    return segmenter


def record_of(
    job: Job,
    item: WorkItem,
    size: tuple[int, int],
    counts: NDArray[np.int64],
    classes: Sequence[ClassInfo],
    doubt: Uncertainty,
    notices: tuple[str, ...] = (),
    look: tuple[float, ...] = (),
) -> Record:
    """Return the record of an image whose files are written.

    Parameters
    ----------
    job : Job
        The batch.
    item : WorkItem
        The image.
    size : tuple of int
        ``(H, W)``.
    counts : ndarray
        ``(256,)`` int64: pixels of each label.
    classes : sequence of ClassInfo
        What was looked for.
    doubt : Uncertainty
        How much the labels are to be doubted.
    notices : tuple of str
        Sentences for the annotator.
    look : tuple of float
        What kind of image it is, see `napari_wildseg.batch.likeness`.
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
    """Say in a sentence why an image failed.

    Parameters
    ----------
    error : Exception
        What was raised.
    """
    if isinstance(error, WildsegError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there is not enough memory for this image: make it smaller."
    detail = " ".join(str(error).split())[:300]
    name = type(error).__name__
    return f"something went wrong inside ({f'{name}: {detail}' if detail else name})."


def choose_classes(
    segmenter: Segmenter | LargeSegmenter, plan: ClassPlan
) -> tuple[tuple[ClassInfo, ...], Uncertainty]:
    """Return the classes that the model finds in the image it holds.

    Parameters
    ----------
    segmenter : Segmenter or LargeSegmenter
        Holds the image.
    plan : ClassPlan
        What there is to choose from, and whether there may be none.

    Returns
    -------
    classes : tuple of ClassInfo
        What was found.
    doubt : Uncertainty
        How near the best of the others came to being found: what to rank an image by in which
        none was.
    """
    names = [info.name for info in plan.classes]
    found = segmenter.suggest(names, top=MAX_CLASSES)
    chosen = {name for name, score in found if score >= CUT}
    if plan.mode == "auto":
        chosen.add(found[0][0])
    near = max((float(score) for name, score in found if name not in chosen), default=0.0)
    near = min(max(near, 0.0), 1.0)
    classes = tuple(info for info in plan.classes if info.name in chosen)
    return classes, Uncertainty(near, 0.0, 0.0, near)


NONE_FOUND = "None of the classes was found in the image."
"""What is said of an image in which there may be none."""
