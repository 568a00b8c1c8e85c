"""Review of a finished batch: the most uncertain images first, corrections kept and exported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import FOLDER, Journal, Record, corrections_file
from napari_wildseg.batch.looks import review_order
from napari_wildseg.batch.outputs import open_output
from napari_wildseg.batch.report import Report, read_report
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images import as_rgb
from napari_wildseg.io.atomic import atomic_write
from napari_wildseg.io.corrections import read_corrections, write_corrections
from napari_wildseg.io.datasets import merge_classes
from napari_wildseg.io.label_image import LabelImage, classes_to_json, dump_json
from napari_wildseg.io.lazy import LazyPicture
from napari_wildseg.io.pictures import open_image, whole_of

_STATE = f"{FOLDER}/review.json"


@dataclass(frozen=True, eq=False)
class ReviewItem:
    """One image of the queue.

    Attributes
    ----------
    record : Record
        What the batch made of it.
    rgb : ndarray
        ``(H, W, 3)`` uint8.
    labels : LabelImage
        Its labels in the data set, with the corrections made so far.
    """

    record: Record
    rgb: NDArray[np.uint8]
    labels: LabelImage


class ReviewQueue:
    """The images of a finished batch: of different looks first, then the most uncertain first.

    Parameters
    ----------
    folder : str or Path
        The output folder of the batch.

    Attributes
    ----------
    folder : Path
        The output folder.
    report : Report
        Its report.
    records : tuple of Record
        The images in the order of review. It stays the same while images are corrected.
    reviewed : set of str
        Names of the images that were looked at.

    Raises
    ------
    InputError
        If the folder holds no finished batch.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.report: Report = read_report(self.folder)
        done = {record.name for record in self.report.done}
        self.reviewed = reviewed_in(self.folder) & done
        self.records = review_order(self.report.review, self.reviewed)
        self._output = open_output(self.report.format, self.folder)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """All classes of the data set."""
        return self.report.classes

    def first_left(self) -> int:
        """Return the place of the first image that was not looked at; 0 if all were."""
        left = (i for i, record in enumerate(self.records) if record.name not in self.reviewed)
        return next(left, 0)

    def open(self, place: int) -> ReviewItem:
        """Read one image and its labels.

        Parameters
        ----------
        place : int
            From 0, the most uncertain.

        Raises
        ------
        InputError
            If the picture or its labels are gone or damaged.
        """
        record = self.records[place]
        found = open_image(record.image)
        if isinstance(found, LazyPicture):
            with found:
                rgb = whole_of(found)
        else:
            rgb = as_rgb(found)
        if rgb.shape[:2] != tuple(record.size):
            raise InputError(f"{record.image} is not the picture that was segmented any more.")
        labels = self._output.read(record, self.classes)
        path = self._corrections(record.name)
        if path.is_file():
            labels = replace(labels, corrections=read_corrections(path, labels.labels.shape))
        return ReviewItem(record, rgb, labels)

    def save(self, item: ReviewItem, labels: LabelImage) -> None:
        """Write corrected labels into the data set, and keep the corrections beside it.

        Parameters
        ----------
        item : ReviewItem
            The image.
        labels : LabelImage
            Its labels now. Classes are matched to the set's by name; new ones are added to it.

        Raises
        ------
        WildsegError
            If a file cannot be written; what was there before is then still whole.
        """
        name = item.record.name
        self.mark(name)  # first, so that nothing redoes the image once its labels are written
        corrections = labels.corrections
        classes, values = merge_classes(self.classes, labels)
        own = {info.name for info in labels.classes}
        mapped = replace(
            labels,
            labels=values,
            classes=tuple(info for info in classes if info.name in own),
            corrections=None if corrections is None else _renumbered(corrections, labels, classes),
            image=name,
        )
        if mapped.corrections is not None:
            write_corrections(self._corrections(name), mapped.corrections, overwrite=True)
        self._output.write(name, item.rgb, mapped, classes)
        counts = np.bincount(values.ravel(), minlength=256)
        present = {info.id: int(counts[info.id]) for info in mapped.classes}
        record = replace(item.record, classes=present)
        self._replace(record, classes)

    def publish(self) -> None:
        """Write the files that images share, and the report, with what was corrected."""
        done = sorted(self.report.done, key=lambda record: self._order[record.name])
        files = self._output.finish(done, self.classes)
        self.report = replace(self.report, files=tuple(files))
        self.report.write(self.folder)

    def mark(self, name: str) -> None:
        """Note that an image was looked at.

        Parameters
        ----------
        name : str
            The image's name.
        """
        self.reviewed.add(name)
        state = {"reviewed": sorted(self.reviewed)}
        atomic_write(self.folder / _STATE, dump_json(state), overwrite=True)

    def _replace(self, record: Record, classes: tuple[ClassInfo, ...]) -> None:
        """Put a record in the place of the one before it, in the journal too."""
        swap = {record.name: record}
        self.report = replace(
            self.report,
            records=tuple(swap.get(r.name, r) for r in self.report.records),
            classes=classes,
        )
        self.records = tuple(swap.get(r.name, r) for r in self.records)
        journal = Journal(self.folder)
        try:
            header: dict[str, Any] = dict(journal.header or {})
            journal.start({**header, "classes": classes_to_json(classes)})
            journal.add(record)
        finally:
            journal.close()

    @property
    def _order(self) -> Mapping[str, int]:
        """Place of each image in the work list, as the journal tells it."""
        journal = Journal(self.folder)
        try:
            return {name: place for place, name in enumerate(journal.records)}
        finally:
            journal.close()

    def _corrections(self, name: str) -> Path:
        return corrections_file(self.folder, name)


def reviewed_in(folder: Path) -> set[str]:
    """Return the names of images of a batch that were reviewed.

    Parameters
    ----------
    folder : Path
        The output folder.
    """
    try:
        state = json.loads((folder / _STATE).read_text("utf-8"))
        return {str(name) for name in state["reviewed"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def forget_reviews(folder: Path) -> None:
    """Note that no image was reviewed, since all are made anew.

    Parameters
    ----------
    folder : Path
        The output folder.
    """
    (folder / _STATE).unlink(missing_ok=True)


def _renumbered(
    corrections: NDArray[np.int16], labels: LabelImage, classes: tuple[ClassInfo, ...]
) -> NDArray[np.int16]:
    """Give corrections the ids of the set."""
    ids = {info.name: info.id for info in classes}
    table = np.arange(-1, 256, dtype=np.int16)
    for info in labels.classes:
        table[info.id + 1] = ids[info.name]
    return table[corrections + 1]
