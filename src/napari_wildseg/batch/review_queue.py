"""Review of a finished batch: images in order, corrected labels written to the data set."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import FOLDER, Journal, Record, corrections_file
from napari_wildseg.batch.likeness import review_order
from napari_wildseg.batch.outputs import open_output
from napari_wildseg.batch.report import REPORT_NAME, Report, read_report
from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.io.atomic import atomic_write
from napari_wildseg.io.corrections_file import read_corrections, write_corrections
from napari_wildseg.io.datasets import merge_classes
from napari_wildseg.io.image_files import open_image, read_whole
from napari_wildseg.io.label_image import LabelImage, classes_from_json, classes_to_json
from napari_wildseg.io.lazy import LazyPicture
from napari_wildseg.io.safety.json_data import dump_json

_STATE = f"{FOLDER}/review.json"

_WAIT = 5.0
"""Seconds to wait for another process that writes; an image takes less than one."""


@dataclass(frozen=True, eq=False)
class ReviewItem:
    """One image of the queue.

    Attributes
    ----------
    record : Record
        Its record.
    rgb : ndarray
        ``(H, W, 3)`` uint8.
    labels : LabelImage
        Its labels in the data set, with corrections.
    version : str
        Digest of the file of corrections; ``""`` if there is none.
    """

    record: Record
    rgb: NDArray[np.uint8]
    labels: LabelImage
    version: str = ""


class ReviewQueue:
    """The images of a finished batch in order of review; see `likeness.review_order`.

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
        The images in order of review. The order does not change during a review.
    reviewed : set of str
        Names of the reviewed images.

    Raises
    ------
    InputError
        If the folder holds no finished batch.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = checked_path(folder, "folder")
        self.report: Report = read_report(self.folder)
        done = {record.name for record in self.report.done}
        self.reviewed = reviewed_in(self.folder) & done
        self.records = review_order(self.report.review, self.reviewed)
        self._output = open_output(self.report.format, self.folder)
        self._written: dict[str, str] = {}

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes of the data set; `open` and `save` read them from the journal again."""
        return self.report.classes

    def first_left(self) -> int:
        """Return the index of the first image that was not reviewed; 0 if all were."""
        left = (i for i, record in enumerate(self.records) if record.name not in self.reviewed)
        return next(left, 0)

    def open(self, place: int) -> ReviewItem:
        """Read one image and its labels.

        Parameters
        ----------
        place : int
            Index in `records`.

        Raises
        ------
        InputError
            If the picture or its labels are missing or damaged.
        """
        record = self.records[place]
        found = open_image(record.image)
        if isinstance(found, LazyPicture):
            with found:
                rgb = read_whole(found)
        else:
            rgb = as_rgb(found)
        if rgb.shape[:2] != tuple(record.size):
            raise InputError(f"{record.image} is not the picture that was segmented any more.")
        with closing(Journal(self.folder, lock=False)) as journal:
            self._take(journal)
        record = self.records[place]
        labels = self._output.read(record, self.classes)
        path = self._corrections(record.name)
        version = _digest(path)
        if version:
            labels = self._corrected(labels, read_corrections(path, labels.labels.shape))
        return ReviewItem(record, rgb, labels, version)

    def save(self, item: ReviewItem, labels: LabelImage) -> None:
        """Write corrected labels to the data set, and the corrections to the batch's own folder.

        Nothing is written while a batch or another window writes to the folder.

        Parameters
        ----------
        item : ReviewItem
            The image.
        labels : LabelImage
            Its corrected labels. Classes are matched by name; new ones are added to the set.

        Raises
        ------
        InputError
            If a batch is writing to the folder, or the image was corrected in another window
            since it was opened.
        WildsegError
            If a file cannot be written; the old files are then unchanged.
        """
        with self._journal() as journal:
            self._save(item, labels, journal)

    def _save(self, item: ReviewItem, labels: LabelImage, journal: Journal) -> None:
        name = item.record.name
        path = self._corrections(name)
        if _digest(path) not in (item.version, self._written.get(name, item.version)):
            raise InputError(
                f"{name} was corrected in another window meanwhile: export these labels to a "
                "file if you want to keep them, and open the batch again."
            )
        self.mark(name)  # first, so that an update never replaces the corrected labels
        corrections = labels.corrections
        classes, merged = merge_classes(self.classes, labels)
        own = {info.name for info in labels.classes}
        mapped = replace(
            labels,
            labels=merged.labels,
            classes=tuple(info for info in classes if info.name in own),
            corrections=None if corrections is None else _renumbered(corrections, labels, classes),
            image=name,
        )
        # Classes are written first, so that every value in a file has a name.
        journal.start({**(journal.header or {}), "classes": classes_to_json(classes)})
        self.report = replace(self.report, classes=classes)
        if mapped.corrections is not None:
            write_corrections(path, mapped.corrections, overwrite=True)
            self._written[name] = _digest(path)
        self._output.write(name, item.rgb, mapped, classes)
        counts = np.bincount(merged.labels.ravel(), minlength=256)
        present = {info.id: int(counts[info.id]) for info in mapped.classes}
        journal.add(replace(item.record, classes=present))
        self._take(journal)

    def publish(self) -> None:
        """Write the shared files and the report again, after corrections."""
        with self._journal() as journal:
            order = {name: place for place, name in enumerate(journal.records)}
            done = sorted(self.report.done, key=lambda record: order.get(record.name, len(order)))
            files = self._output.finish(done, self.classes)
            self.report = replace(self.report, files=tuple(files))
            self.report.write(self.folder)

    def mark(self, name: str) -> None:
        """Record that an image was reviewed.

        Parameters
        ----------
        name : str
            The image's name.
        """
        self.reviewed |= {name, *reviewed_in(self.folder)}  # other windows also record reviews
        state = {"reviewed": sorted(self.reviewed)}
        atomic_write(self.folder / _STATE, dump_json(state), overwrite=True)

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        """Lock the journal of the batch and read changes of other windows from it."""
        if not (self.folder / REPORT_NAME).is_file():
            raise InputError(f"The batch in {self.folder} is gone: nothing was written.")
        with closing(Journal(self.folder, wait=_WAIT)) as journal:
            if journal.header is None:  # a folder that was copied without its hidden files
                header = {"output": self.report.format, "settings": dict(self.report.settings)}
                journal.start({**header, "classes": classes_to_json(self.classes)})
                for record in self.report.records:
                    journal.add(record)
            self._take(journal)
            yield journal

    def _take(self, journal: Journal) -> None:
        if journal.header is None:
            return
        classes = classes_from_json(journal.header.get("classes"), "journal.jsonl")
        latest = journal.records
        self.report = replace(
            self.report,
            records=tuple(latest.get(r.name, r) for r in self.report.records),
            classes=classes,
        )
        self.records = tuple(latest.get(r.name, r) for r in self.records)

    def _corrected(self, labels: LabelImage, corrections: NDArray[np.int16]) -> LabelImage:
        """Apply corrections to labels; a killed process may have written only one of them."""
        values = keep_corrections(labels.labels.copy(), corrections)
        there = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
        own = {info.id: info for info in labels.classes}
        own |= {info.id: info for info in self.classes if info.id in there}
        return replace(labels, labels=values, classes=tuple(own.values()), corrections=corrections)

    def _corrections(self, name: str) -> Path:
        return corrections_file(self.folder, name)


def reviewed_in(folder: Path) -> set[str]:
    """Return the names of images of a batch that were reviewed."""
    try:
        state = json.loads((folder / _STATE).read_text("utf-8"))
        return {str(name) for name in state["reviewed"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def forget_reviews(folder: Path) -> None:
    """Delete the record of reviews, when all images are segmented again."""
    (folder / _STATE).unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """Return the SHA-256 digest of a file; ``""`` if it is missing."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _renumbered(
    corrections: NDArray[np.int16], labels: LabelImage, classes: tuple[ClassInfo, ...]
) -> NDArray[np.int16]:
    """Map the values of corrections to the class ids of the set."""
    ids = {info.name: info.id for info in classes}
    table = np.arange(-1, 256, dtype=np.int16)
    for info in labels.classes:
        table[info.id + 1] = ids[info.name]
    return table[corrections + 1]
