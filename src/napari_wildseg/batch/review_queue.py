"""Review of a finished batch: the most uncertain images first, corrections kept and exported."""

from __future__ import annotations

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
from napari_wildseg.batch.report import NAME, Report, read_report
from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.io.atomic import atomic_write
from napari_wildseg.io.corrections_file import read_corrections, write_corrections
from napari_wildseg.io.datasets import merge_classes
from napari_wildseg.io.image_files import open_image, whole_of
from napari_wildseg.io.label_image import (
    LabelImage,
    classes_from_json,
    classes_to_json,
    dump_json,
)
from napari_wildseg.io.lazy import LazyPicture

_STATE = f"{FOLDER}/review.json"

_WAIT = 5.0
"""Seconds to wait for another window that writes; an image takes less than one."""


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
    version : str
        Digest of those corrections in their file, or ``""``.
    """

    record: Record
    rgb: NDArray[np.uint8]
    labels: LabelImage
    version: str = ""


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
        self.folder = checked_path(folder, "folder")
        self.report: Report = read_report(self.folder)
        done = {record.name for record in self.report.done}
        self.reviewed = reviewed_in(self.folder) & done
        self.records = review_order(self.report.review, self.reviewed)
        self._output = open_output(self.report.format, self.folder)
        self._written: dict[str, str] = {}

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """All classes of the data set, as far as this queue knows; `open` and `save` look anew."""
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
        """Write corrected labels into the data set, and keep the corrections beside it.

        Nothing is written while a batch, or another window, writes to the folder.

        Parameters
        ----------
        item : ReviewItem
            The image.
        labels : LabelImage
            Its labels now. Classes are matched to the set's by name; new ones are added to it.

        Raises
        ------
        InputError
            If a batch is writing to the folder, or the image was corrected elsewhere since it was
            opened.
        WildsegError
            If a file cannot be written; what was there before is then still whole.
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
        # The classes first: no value is ever in a file without a name.
        journal.start({**(journal.header or {}), "classes": classes_to_json(classes)})
        self.report = replace(self.report, classes=classes)
        if mapped.corrections is not None:
            write_corrections(path, mapped.corrections, overwrite=True)
            self._written[name] = _digest(path)
        self._output.write(name, item.rgb, mapped, classes)
        counts = np.bincount(values.ravel(), minlength=256)
        present = {info.id: int(counts[info.id]) for info in mapped.classes}
        journal.add(replace(item.record, classes=present))
        self._take(journal)

    def publish(self) -> None:
        """Write the files that images share, and the report, with what was corrected."""
        with self._journal() as journal:
            order = {name: place for place, name in enumerate(journal.records)}
            done = sorted(self.report.done, key=lambda record: order.get(record.name, len(order)))
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
        self.reviewed |= {name, *reviewed_in(self.folder)}  # other windows mark too
        state = {"reviewed": sorted(self.reviewed)}
        atomic_write(self.folder / _STATE, dump_json(state), overwrite=True)

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        """Hold the batch's journal, and take from it what other windows changed."""
        if not (self.folder / NAME).is_file():
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
        """Join labels and corrections, which a killed process may have written alone."""
        values = keep_corrections(labels.labels.copy(), corrections)
        there = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
        own = {info.id: info for info in labels.classes}
        own |= {info.id: info for info in self.classes if info.id in there}
        return replace(labels, labels=values, classes=tuple(own.values()), corrections=corrections)

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


def _digest(path: Path) -> str:
    """Tell a version of a file from others; ``""`` where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _renumbered(
    corrections: NDArray[np.int16], labels: LabelImage, classes: tuple[ClassInfo, ...]
) -> NDArray[np.int16]:
    """Give corrections the ids of the set."""
    ids = {info.name: info.id for info in classes}
    table = np.arange(-1, 256, dtype=np.int16)
    for info in labels.classes:
        table[info.id + 1] = ids[info.name]
    return table[corrections + 1]
