"""Segmentation of one image of a batch, from its file to the files of the data set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from napari_wildseg.batch.likeness import image_descriptor
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.maps.uncertainty import CERTAIN
from napari_wildseg.io.formats.label_tiles import labels_on_disk
from napari_wildseg.io.image_files import MAX_PIXELS_IN_MEMORY, open_image, read_whole
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.lazy import LazyPicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_wildseg.engine.classes import ClassInfo
    from napari_wildseg.engine.large import LargeSegmenter
    from napari_wildseg.engine.models.clip_model import CLIPModel
    from napari_wildseg.engine.segmenter import Segmenter

_lock = threading.Lock()
"""Held by the lane that segments a large image; two at once would need twice the memory."""

_POLL = 0.2
"""Seconds between checks for cancellation while a lane waits for the lock."""


def run_large(
    job: BatchJob, item: WorkItem, picture: LazyPicture, model: CLIPModel, control: Control
) -> Record:
    """Segment one large image.

    Labels of more than `MAX_PIXELS_IN_MEMORY` pixels are written tile by tile, to OME-Zarr only.
    """
    from napari_wildseg.engine.large import LargeImage, LargeSegmenter

    how = job.settings
    height, width = picture.size
    by_tiles = height * width > MAX_PIXELS_IN_MEMORY
    if by_tiles and not job.output.takes_tiles:
        raise InputError(
            f"{width} x {height} pixels: labels of more than {MAX_PIXELS_IN_MEMORY // 1_000_000} "
            "megapixels are written as OME-Zarr. "
            "Use --format ome-zarr, or make the picture smaller."
        )
    if how.refiner != "default":
        raise InputError(
            f'large images are refined by "default", not "{how.refiner}": leave --refiner out.'
        )
    segmenter = LargeSegmenter(
        model,
        views=how.views,
        method=how.method,
        threshold=how.threshold,
        device=how.device,
        memory=None if job.memory is None else job.memory.load(),
    )
    about: dict[str, Any] = {"scale": picture.scale, "units": picture.units, "image": item.name}
    with _lock_large_images(control):
        doubt = CERTAIN
        notices: tuple[str, ...] = ()
        classes = job.plan.of(item.name)
        if classes != ():
            image = LargeImage(picture.levels, channel_axis=picture.channel_axis)
            control.run_or_cancel(segmenter.set_image_steps(image))
        if classes is None:
            classes, doubt = choose_classes(segmenter, job.plan)
            notices = () if classes else (NONE_FOUND,)
        if by_tiles:
            path = job.output.folder / job.output.files(item.name)[0]
            with (
                control.writing(item.name),
                labels_on_disk(path, picture.size, classes, overwrite=True, **about) as written,
            ):
                counts = _segment(job, segmenter, classes, written.array, control)
                if segmenter.result is not None:
                    written.set_origin(segmenter.result)
        else:
            values = np.zeros(picture.size, np.uint8)
            counts = _segment(job, segmenter, classes, values, control)
            labels = LabelImage(values, classes, **about)
            if segmenter.result is not None:
                labels = LabelImage.from_result(segmenter.result, **about)
            rgb = read_whole(picture)
            with control.writing(item.name):
                job.output.write(item.name, rgb, labels, job.plan.classes)
        if segmenter.result is not None:
            doubt, notices = segmenter.uncertainty(), segmenter.result.notices
        return record_of(job, item, (height, width), counts, classes, doubt, notices)


def _segment(
    job: BatchJob,
    segmenter: LargeSegmenter,
    classes: tuple[ClassInfo, ...],
    out: Any,
    control: Control,
) -> NDArray[np.int64]:
    """Write labels to an array of zeros; return the pixel count of each label, ``(256,)`` int64."""
    if not classes:
        counts = np.zeros(256, np.int64)
        counts[0] = out.shape[0] * out.shape[1]
        return counts
    steps = segmenter.segment_steps(classes, out=out, refine=job.settings.refine)
    return control.run_or_cancel(steps).counts


@contextmanager
def _lock_large_images(control: Control) -> Iterator[None]:
    while not _lock.acquire(timeout=_POLL):
        control.check()
    try:
        yield
    finally:
        _lock.release()


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
        control.run_or_cancel(segmenter.set_image_steps(rgb))
    if classes is None:
        classes, doubt = choose_classes(segmenter, job.plan)
        notices = () if classes else (NONE_FOUND,)
    if classes:
        steps = segmenter.segment_steps(
            classes, threshold=job.settings.threshold, refine=job.settings.refine
        )
        result = control.run_or_cancel(steps)
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
    return record_of(job, item, size, counts, labels.classes, doubt, notices, image_descriptor(rgb))


def _write_objects(job: BatchJob, name: str, rgb: NDArray[np.uint8], labels: LabelImage) -> None:
    """Write ids and table of the objects beside the data set."""
    from napari_wildseg.engine.instances import split
    from napari_wildseg.io.objects import ObjectImage, write_objects

    objects = ObjectImage(split(labels.labels, None, rgb), labels)
    folder = job.output.folder / "objects"
    for suffix in ("csv", "png"):
        write_objects(folder / f"{name}.objects.{suffix}", objects, overwrite=True)
