"""One image of a batch, from its file to the files of the data set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wildseg.batch.class_plan import ClassPlan
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.outputs import Output
from napari_wildseg.batch.settings import BatchSettings
from napari_wildseg.batch.worklist import WorkItem
from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.images import as_rgb
from napari_wildseg.engine.pictures import read_picture
from napari_wildseg.engine.progress import Steps, drain
from napari_wildseg.engine.tagging import CUT
from napari_wildseg.engine.uncertainty import CERTAIN
from napari_wildseg.io.label_image import LabelImage

if TYPE_CHECKING:
    from napari_wildseg.engine.models.base import CLIPModel
    from napari_wildseg.engine.segmenter import Segmenter


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
    """

    settings: BatchSettings
    plan: ClassPlan
    output: Output

    def only(self, name: str) -> Job:
        """Return the same job with what one image needs, to be sent with it.

        Parameters
        ----------
        name : str
            The image's name.
        """
        known = {name: self.plan.known[name]} if name in self.plan.known else {}
        return replace(self, plan=replace(self.plan, known=known))


class CancelledError(Exception):
    """The batch was cancelled while this image was being done."""


class OutputError(WildsegError):
    """The output cannot be written: no failure of the image, and the end of the run."""


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
    from napari_wildseg.engine.segmenter import Segmenter

    how = job.settings
    segmenter = Segmenter(
        model or how.model,
        views=how.views,
        method=how.method,
        refiner=how.refiner,
        threshold=how.threshold,
        device=how.device,
        cache_bytes=0,  # no image comes twice
    )
    if model is None:
        from napari_wildseg.engine.relevance import get_method

        get_method(how.method, segmenter.model)  # one that does not fit fails here, not per image
        prompts = [prompt for info in job.plan.classes for prompt in info.prompts]
        segmenter.model.encode_text([*prompts, *segmenter.background])
    return segmenter


def run_image(
    job: Job,
    item: WorkItem,
    segmenter: Segmenter,
    *,
    stop: threading.Event | None = None,
    begin: Callable[[str], None] | None = None,
) -> Record:
    """Do one image; whatever is wrong with it ends up in the record.

    Parameters
    ----------
    job : Job
        The batch.
    item : WorkItem
        The image.
    segmenter : Segmenter
        Used by one image at a time.
    stop : threading.Event, optional
        Looked at between steps.
    begin : callable, optional
        Called with the image's name just before its files are written, over what is there;
        raises `InputError` if they may not be.

    Raises
    ------
    CancelledError
        If ``stop`` was set.
    OutputError
        If the files cannot be written.
    """
    try:
        return _run(job, item, segmenter, stop or threading.Event(), begin)
    except (CancelledError, OutputError):
        raise
    except WildsegError as error:
        reason = " ".join(str(error).split())
    except MemoryError:
        reason = "there is not enough memory for this image: make it smaller."
    except Exception as error:
        detail = " ".join(str(error).split())[:300]
        name = type(error).__name__
        reason = f"something went wrong inside ({f'{name}: {detail}' if detail else name})."
    return Record(item.name, item.path, failure=reason)


def _run(
    job: Job,
    item: WorkItem,
    segmenter: Segmenter,
    stop: threading.Event,
    begin: Callable[[str], None] | None,
) -> Record:
    classes = job.plan.of(item.name)
    rgb = as_rgb(read_picture(item.path))
    doubt = CERTAIN
    notices: tuple[str, ...] = ()
    if classes == ():  # none of the set's classes is in this image, says whoever listed them
        labels = LabelImage(np.zeros(rgb.shape[:2], np.uint8), (), image=item.name)
    else:
        _until(stop, segmenter.set_image_steps(rgb))
        if classes is None:
            classes = choose_classes(segmenter, job.plan.classes)
        steps = segmenter.segment_steps(
            classes, threshold=job.settings.threshold, refine=job.settings.refine
        )
        result = _until(stop, steps)
        doubt = segmenter.uncertainty()
        notices = result.notices
        labels = LabelImage.from_result(result, image=item.name)
        if not job.settings.refine:
            labels = labels.with_labels(result.pseudo_labels)
    if stop.is_set():
        raise CancelledError
    if begin is not None:
        begin(item.name)
    try:
        job.output.write(item.name, rgb, labels, job.plan.classes)
    except WildsegError as error:
        raise OutputError(str(error)) from error
    counts = np.bincount(labels.labels.ravel(), minlength=256)
    values = [info.id for info in labels.classes]
    if counts[UNLABELLED]:
        values.append(UNLABELLED)
    return Record(
        item.name,
        item.path,
        files=tuple(job.output.files(item.name)),
        size=(rgb.shape[0], rgb.shape[1]),
        classes={value: int(counts[value]) for value in values},
        uncertainty=doubt.to_json(),
        notices=notices,
    )


def choose_classes(
    segmenter: Segmenter, vocabulary: tuple[ClassInfo, ...]
) -> tuple[ClassInfo, ...]:
    """Return the classes that the model finds in the image it holds, at least one.

    Parameters
    ----------
    segmenter : Segmenter
        Holds the image.
    vocabulary : tuple of ClassInfo
        What there is to choose from.
    """
    found = segmenter.suggest([info.name for info in vocabulary], top=MAX_CLASSES)
    names = {name for name, score in found if score >= CUT} or {found[0][0]}
    return tuple(info for info in vocabulary if info.name in names)


def _until(stop: threading.Event, steps: Steps):  # type: ignore[no-untyped-def, type-arg]
    """Run a job to its end unless ``stop`` is set meanwhile."""

    def look(_: object) -> None:
        if stop.is_set():
            raise CancelledError

    try:
        return drain(steps, look)
    finally:
        steps.close()
