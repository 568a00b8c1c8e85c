"""Corrected labels for images of a batch (``--corrected``): kept, and propagated along stacks."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import corrections_file, has_journal
from napari_wildseg.batch.outputs import open_output
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.batch.report import read_report
from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.io import LabelImage, format_of, read_labels
from napari_wildseg.io.label_image import placeholder_class

_SUFFIXES = (".png", ".tif", ".tiff", ".npz", ".zarr")
"""Endings of label files that are found in a folder."""


@dataclass(frozen=True)
class Corrected:
    """Corrected labels of one image; read on demand."""

    path: str  # a label file, or the output folder of a batch if ``name`` is set
    name: str  # name of the image in that batch
    digest: str  # digest of its files; must be the same when a batch is resumed

    def read(self, classes: Sequence[ClassInfo]) -> NDArray[np.int16]:
        """Read the labels as corrections.

        Returns ``(H, W)`` int16: -1 where unlabelled (255), else 0 or a class id.
        """
        if self.name:
            report = read_report(self.path)
            record = next(record for record in report.done if record.name == self.name)
            labels = open_output(report.format, self.path).read(record, report.classes)
        else:
            kind = format_of(self.path)
            labels = read_labels(self.path, value_255="unlabelled" if kind.masks else None)
        return _as_corrections(labels, classes, Path(self.path).name)


def find_corrected(folder: str | Path, items: Iterable[WorkItem]) -> dict[str, Corrected]:
    """Return the corrected labels in a folder or reviewed batch, by the name of the image."""
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise InputError(f"{folder_error(folder, ' with corrected labels')}: check the name.")
    find = _in_batch(folder) if has_journal(folder) else _in_folder(folder)
    names = {item.name for item in items}
    found = {name: corrected for name, corrected in find.items() if name in names}
    if not found:
        some = min(names)
        raise InputError(
            f"{folder} holds no corrected labels of these images: call them as the images, "
            f"{some}.png for instance, or name a batch of them that was corrected in review."
        )
    return found


def _in_folder(folder: Path) -> dict[str, Corrected]:
    found: dict[str, Corrected] = {}
    for suffix in _SUFFIXES:
        for path in sorted(folder.glob(f"*{suffix}")):
            name = path.name.removesuffix(suffix)
            if name not in found:
                found[name] = Corrected(str(path), "", _digest([path]))
    return found


def _in_batch(folder: Path) -> dict[str, Corrected]:
    return {
        record.name: Corrected(
            str(folder), record.name, _digest([folder / file for file in record.files])
        )
        for record in read_report(folder).done
        if corrections_file(folder, record.name).is_file()
    }


def _digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file():
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _as_corrections(
    labels: LabelImage, classes: Sequence[ClassInfo], where: str
) -> NDArray[np.int16]:
    ids = {info.name: info.id for info in classes}
    table = np.full(256, -1, np.int16)
    table[0] = 0
    present = np.bincount(labels.labels.ravel(), minlength=256)
    for info in labels.classes:
        nameless = info.name == placeholder_class(info.id).name and info.id in ids.values()
        number = ids.get(info.name, info.id if nameless else None)
        if number is None and present[info.id]:
            raise InputError(
                f'{where} labels "{info.name}", which is no class of this batch: '
                "add it to --labels."
            )
        table[info.id] = -1 if number is None else number
    table[UNLABELLED] = -1
    return np.asarray(table[labels.labels])
