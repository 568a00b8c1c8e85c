"""Adding finished images of a labelled set or of a reviewed batch to a class memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.review_queue import ReviewQueue
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.pictures.picture_files import split_plane, spread_planes
from napari_wildseg.engine.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_wildseg.engine.segmenter import Segmenter
    from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet

MAX_REMEMBERED_PIXELS = 16_000_000
"""Largest number of pixels of a remembered image; larger ones are segmented by windows."""

_TOO_LARGE = "it is too large to be remembered: cut a part out of it."


@dataclass(frozen=True, eq=False)
class Example:
    """A finished image.

    Attributes
    ----------
    rgb : ndarray
        ``(H, W, 3)`` uint8.
    labels : ndarray
        ``(H, W)`` uint8: 0, class ids, 255 unlabelled.
    classes : tuple of ClassInfo
        The classes that were searched in the image.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: tuple[ClassInfo, ...]


@dataclass(frozen=True)
class ExampleFile:
    """An image to remember, read on demand.

    Attributes
    ----------
    name : str
        Name of the image.
    read : callable
        Returns the `Example`; None if the image has no known class.
    """

    name: str
    read: Callable[[], Example | None]


def examples_of_set(data: EvaluationSet) -> list[ExampleFile]:
    """Return the images of a labelled set, with the classes that cover 1 % of the mask.

    Parameters
    ----------
    data : EvaluationSet
        The set.
    """
    return [ExampleFile(item.stem, partial(_of_item, item)) for item in data.items]


def examples_of_batch(folder: str | Path) -> list[ExampleFile]:
    """Return the reviewed images of a finished batch.

    Parameters
    ----------
    folder : str or Path
        Its output folder.

    Raises
    ------
    InputError
        If there is no finished batch, or no image was reviewed.
    """
    queue = ReviewQueue(folder)
    records = sorted(
        (record for record in queue.records if record.name in queue.reviewed),
        key=lambda record: record.name,
    )
    if not records:
        raise InputError(
            f"No image of the batch in {folder} was reviewed yet: review some of them first."
        )
    planes: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        planes[str(split_plane(record.image)[0])].append(index)
    kept = sorted(i for one in planes.values() for i in spread_planes(one))
    places = {record.name: place for place, record in enumerate(queue.records)}
    return [
        ExampleFile(records[i].name, partial(_of_review, queue, places[records[i].name]))
        for i in kept
    ]


def remember_steps(segmenter: Segmenter, sources: Iterable[ExampleFile]) -> Steps[dict[str, str]]:
    """Add images to the memory of a segmenter.

    Parameters
    ----------
    segmenter : Segmenter
        The images are added to its memory.
    sources : iterable of ExampleFile
        The images.

    Returns
    -------
    dict of str to str
        Reasons why images were left out, by name.

    Raises
    ------
    InputError
        If the memory belongs to another model, method or set of views.
    """
    from napari_wildseg.engine.memory import ClassMemory

    sources = list(sources)
    left_out: dict[str, str] = {}
    memory = ClassMemory() if segmenter.memory is None else segmenter.memory
    # Records need the maps alone. With the memory they would wait for it to learn after each image.
    segmenter.memory = None
    try:
        for number, source in enumerate(sources):
            stage = f"Remembering image {number + 1} of {len(sources)}"
            yield Progress(number, len(sources), stage)
            try:
                example = source.read()
            except WildsegError as error:
                left_out[source.name] = str(error)
                continue
            if example is None:
                left_out[source.name] = "none of the classes covers 1 % of it."
                continue
            for _ in segmenter.set_image_steps(example.rgb):
                yield Progress(number, len(sources), stage)
            for _ in segmenter.segment_steps(example.classes, refine=False):
                yield Progress(number, len(sources), stage)
            record = segmenter.record(labels=example.labels, name=source.name)
            memory.add(record, segmenter.source)
    finally:
        segmenter.memory = memory
    return left_out


def _of_item(item: EvaluationItem) -> Example | None:
    mask = item.mask()
    known = item.known(mask)
    image = item.image()
    _check(image, mask)
    return Example(image, item.asked(mask, known), known) if known else None


def _of_review(queue: ReviewQueue, place: int) -> Example | None:
    record = queue.records[place]
    if record.size[0] * record.size[1] > MAX_REMEMBERED_PIXELS:
        raise InputError(_TOO_LARGE)
    item = queue.open(place)
    classes = item.labels.classes
    return Example(item.rgb, item.labels.labels, classes) if classes else None


def _check(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    if image.shape[:2] != mask.shape:
        raise InputError("its mask is of another size.")
    if mask.size > MAX_REMEMBERED_PIXELS:
        raise InputError(_TOO_LARGE)
