"""Segmentation of one image of a batch, from its file to the files of the data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.job import (
    NONE_FOUND,
    BatchJob,
    CancelledError,
    Control,
    OutputError,
    choose_classes,
    failure_of,
    record_of,
)
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.large_image import run_large
from napari_wildseg.batch.likeness import look_of_image
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.maps.uncertainty import CERTAIN
from napari_wildseg.io.image_files import open_image
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.lazy import LazyPicture

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter


def run_image(job: BatchJob, item: WorkItem, segmenter: Segmenter, control: Control) -> Record:
    """Segment one image; an error of the image becomes a failed record.

    Raises `CancelledError` and `OutputError`.
    """
    try:
        found = open_image(item.path)
        if isinstance(found, LazyPicture):
            with found:
                return run_large(job, item, found, segmenter.model, control)
        return _run(job, item, found, segmenter, control)
    except (CancelledError, OutputError):
        raise
    except Exception as error:
        return Record(item.name, item.path, failure=failure_of(error))


def _run(
    job: BatchJob, item: WorkItem, pixels: NDArray[Any], segmenter: Segmenter, control: Control
) -> Record:
    classes = job.plan.of(item.name)
    rgb = as_rgb(pixels)
    doubt = CERTAIN
    notices: tuple[str, ...] = ()
    labels = LabelImage(np.zeros(rgb.shape[:2], np.uint8), (), image=item.name)
    if classes != ():  # an empty list means that no class is present
        control.until_done(segmenter.set_image_steps(rgb))
    if classes is None:
        classes, doubt = choose_classes(segmenter, job.plan)
        notices = () if classes else (NONE_FOUND,)
    if classes:
        steps = segmenter.segment_steps(
            classes, threshold=job.settings.threshold, refine=job.settings.refine
        )
        result = control.until_done(steps)
        doubt = segmenter.uncertainty()
        notices = result.notices
        labels = LabelImage.from_result(result, image=item.name)
        if not job.settings.refine:
            labels = labels.with_labels(result.pseudo_labels)
    with control.writing(item.name):
        job.output.write(item.name, rgb, labels, job.plan.classes)
        if job.settings.objects:
            _write_objects(job, item.name, rgb, labels)
    counts = np.bincount(labels.labels.ravel(), minlength=256)
    size = (rgb.shape[0], rgb.shape[1])
    return record_of(job, item, size, counts, labels.classes, doubt, notices, look_of_image(rgb))


def _write_objects(job: BatchJob, name: str, rgb: NDArray[np.uint8], labels: LabelImage) -> None:
    """Write ids and table of the objects beside the data set."""
    from napari_wildseg.engine.instances import split
    from napari_wildseg.io.objects import ObjectImage, write_objects

    objects = ObjectImage(split(labels.labels, None, rgb), labels)
    folder = job.output.folder / "objects"
    for suffix in ("csv", "png"):
        write_objects(folder / f"{name}.objects.{suffix}", objects, overwrite=True)
