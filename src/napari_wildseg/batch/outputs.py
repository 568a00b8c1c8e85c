"""Outputs of a batch: label files of each image, and files that all images share.

The files of one image are independent of those of others, so that several processes may write in
any order. Shared files (lists, COCO's annotations) are written at the end in the order of the work
list, so that their bytes are reproducible.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import FOLDER, Record
from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import atomic_path, atomic_write
from napari_wildseg.io.datasets import jpeg_bytes, png_bytes
from napari_wildseg.io.formats import Format, png
from napari_wildseg.io.formats.coco import annotations_of, categories_of, mask_of
from napari_wildseg.io.formats.yolo_names import NAMES_FILE, names_bytes
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.labels import format_of, read_labels
from napari_wildseg.io.voc_dataset import labelmap_bytes, voc_files

_NAMES = {"tiff": "tif"}
"""Format names on the command line that differ from those in `napari_wildseg.io.FORMATS`."""

SPLIT = "train"
"""The list that images of a data set are added to."""


class Output(Protocol):
    """Interface of the output of a batch."""

    @property
    def folder(self) -> Path:
        """The output folder."""

    @property
    def takes_tiles(self) -> bool:
        """Whether labels can be written tile by tile (`napari_wildseg.io.formats.label_tiles`)."""

    def files(self, name: str) -> list[str]:
        """Return the files of one image, relative to the folder."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Files that all images share, relative to the folder; `finish` writes them."""

    def write(
        self, name: str, rgb: NDArray[np.uint8], labels: LabelImage, classes: Sequence[ClassInfo]
    ) -> None:
        """Write the files of one image, replacing existing ones. `rgb`: ``(H, W, 3)`` uint8."""

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """Read the labels of one image; raise `InputError` if a file is missing or damaged."""

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """Write the shared files; return them relative to the folder."""


@dataclass(frozen=True)
class FilesOutput:
    """One label file per image, in a format of `napari_wildseg.io.FORMATS`."""

    folder: Path  # the output folder
    format: str  # name of a format of `napari_wildseg.io.FORMATS`
    shared = ()

    @property
    def takes_tiles(self) -> bool:
        """See `Output.takes_tiles`."""
        return self.format == "ome-zarr"

    def files(self, name: str) -> list[str]:
        """See `Output.files`."""
        main = f"{name}{self._format.suffixes[0]}"
        return [main, f"{name}.json"] if self._format.sidecar else [main]

    def write(
        self, name: str, rgb: NDArray[np.uint8], labels: LabelImage, classes: Sequence[ClassInfo]
    ) -> None:
        """See `Output.write`."""
        path = self.folder / self.files(name)[0]
        self._format.write(path, labels, overwrite=True)

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """See `Output.read`."""
        path = self.folder / self.files(record.name)[0]
        return _of_record(self._format.read(path), record, classes)

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """See `Output.finish`; for YOLO the file of class names."""
        if self.format != "yolo":
            return []
        atomic_write(self.folder / NAMES_FILE, names_bytes(classes), overwrite=True)
        return [NAMES_FILE]

    @property
    def _format(self) -> Format:
        return format_of("", _NAMES.get(self.format, self.format))


@dataclass(frozen=True)
class VOCOutput:
    """The folder layout of PASCAL VOC, as `napari_wildseg.io.VOCDataSet` writes them."""

    folder: Path  # the output folder
    takes_tiles = False

    _BASE = "VOCdevkit/VOC2012"
    shared = (f"{_BASE}/labelmap.txt", f"{_BASE}/ImageSets/Segmentation/{SPLIT}.txt")

    def files(self, name: str) -> list[str]:
        """See `Output.files`."""
        return [f"{self._BASE}/{file}" for file in voc_files(name)]

    def write(
        self, name: str, rgb: NDArray[np.uint8], labels: LabelImage, classes: Sequence[ClassInfo]
    ) -> None:
        """See `Output.write`."""
        photo, mask = (self.folder / file for file in self.files(name))
        palette = replace(labels, classes=tuple(classes)).palette
        atomic_write(photo, jpeg_bytes(rgb), overwrite=True)
        atomic_write(mask, png.encode(labels.labels, palette), overwrite=True)

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """See `Output.read`."""
        found = read_labels(
            self.folder / self.files(record.name)[1], format="png", value_255="unlabelled"
        )
        return _of_record(found, record, classes)

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """See `Output.finish`: ``labelmap.txt`` and the list of images."""
        names, listing = self.shared
        text = "".join(f"{record.name}\n" for record in records)
        atomic_write(self.folder / names, labelmap_bytes(tuple(classes)), overwrite=True)
        atomic_write(self.folder / listing, text.encode("utf-8"), overwrite=True)
        return [names, listing]


@dataclass(frozen=True)
class COCOOutput:
    """The folder layout of COCO, as `napari_wildseg.io.COCODataSet` writes them.

    The annotations of each image are kept in a file (part) of their own, so that a killed process
    cannot damage those of others. A part is a JSON list with one annotation per line. Parts are
    joined without being parsed.
    """

    folder: Path  # the output folder
    takes_tiles = False
    shared = (f"annotations/instances_{SPLIT}.json",)

    def files(self, name: str) -> list[str]:
        """See `Output.files`."""
        return [f"{SPLIT}/{name}.png", f"{FOLDER}/parts/{name}.json"]

    def write(
        self, name: str, rgb: NDArray[np.uint8], labels: LabelImage, classes: Sequence[ClassInfo]
    ) -> None:
        """See `Output.write`."""
        photo, part = (self.folder / file for file in self.files(name))
        entries = annotations_of(labels, 1, 1, "component", "rle")
        lines = ",\n".join(json.dumps(_without_ids(entry)) for entry in entries)
        atomic_write(photo, png_bytes(rgb), overwrite=True)
        atomic_write(part, f"[\n{lines}\n]\n".encode("ascii"), overwrite=True)

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """See `Output.read`."""
        labels = np.zeros(record.size, np.uint8)
        where = f"{record.name}.json"
        entries = [json.loads(line) for line in self._part(record.name)]
        for entry in sorted(entries, key=lambda entry: not entry["iscrowd"]):
            labels[mask_of(entry["segmentation"], *record.size, where)] = entry["category_id"]
        return _of_record(LabelImage.from_array(labels, classes), record, classes)

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """See `Output.finish`: the annotations, one image in memory at a time."""
        kept = list(records)
        (listing,) = self.shared
        blank = LabelImage(np.zeros((1, 1), np.uint8), tuple(classes))
        unlabelled = replace(blank, labels=np.full((1, 1), UNLABELLED, np.uint8))
        images = (
            {
                "id": number,
                "file_name": f"{record.name}.png",
                "height": record.size[0],
                "width": record.size[1],
            }
            for number, record in enumerate(kept, start=1)
        )
        crowds = False
        with (
            atomic_path(self.folder / listing, overwrite=True) as path,
            path.open("w", encoding="ascii", newline="\n") as file,
        ):
            file.write('{"info": {"description": "labels by napari-wildseg"},\n"images": ')
            _write_list(file, map(json.dumps, images))
            file.write(',\n"annotations": ')
            next_id = 1

            def annotations() -> Iterator[str]:
                nonlocal next_id, crowds
                for number, record in enumerate(kept, start=1):
                    for line in self._part(record.name):
                        crowds |= line.startswith(_CROWD)
                        yield f'{{"id": {next_id}, "image_id": {number}, {line[1:]}'
                        next_id += 1

            _write_list(file, annotations())
            file.write(',\n"categories": ')
            categories = categories_of(unlabelled if crowds else blank)
            _write_list(file, map(json.dumps, categories))
            file.write("}\n")
        return [listing]

    def _part(self, name: str) -> list[str]:
        """Read the part of an image: annotations as JSON lines without ids."""
        path = self.folder / self.files(name)[1]
        try:
            lines = path.read_text("ascii").split("\n")
        except (OSError, ValueError):
            lines = []
        entries = [line.removesuffix(",") for line in lines[1:-2] if line]
        whole = lines[:1] == ["["] and lines[-2:] == ["]", ""]
        if not whole or not all(line.startswith(_ENTRY) for line in entries):
            raise InputError(f"{path} cannot be read; remove it and run again with --resume.")
        return entries


_ENTRY = '{"category_id": '
"""Beginning of each annotation of a part."""

_CROWD = f"{_ENTRY}{UNLABELLED},"
"""Beginning of an annotation of unlabelled pixels."""


def _without_ids(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("id", "image_id")}


def _of_record(found: LabelImage, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
    """Return labels with the classes of the image, including those without a pixel."""
    if found.labels.shape != tuple(record.size):
        raise InputError(f"The labels of {record.name} are of another size than its image.")
    by_id = {info.id: info for info in classes}
    own = {info.id: by_id.get(info.id, info) for info in found.classes}
    present = np.flatnonzero(np.bincount(found.labels.ravel(), minlength=256)).tolist()
    wanted = {*present, *record.classes}
    own |= {number: by_id[number] for number in record.classes if number in by_id}
    kept = tuple(info for number, info in own.items() if number in wanted)
    return replace(found, classes=kept, image=record.name)


def _write_list(file: TextIO, entries: Iterable[str]) -> None:
    """Write a JSON list of encoded entries, one per line."""
    lead = "["
    for entry in entries:
        file.write(f"{lead}\n{entry}")
        lead = ","
    file.write("]" if lead == "," else "[]")


OUTPUTS = ("png", "voc", "coco", "tiff", "ome-zarr", "npz", "yolo")
"""Values of ``--format``; the first is the default."""


def open_output(format: str, folder: str | Path) -> Output:
    """Return the output of a batch; raise `InputError` for an unknown format."""
    folder = Path(folder)
    if format not in OUTPUTS:
        raise InputError(f'There is no format "{format}": choose from {", ".join(OUTPUTS)}.')
    if format == "voc":
        return VOCOutput(folder)
    return COCOOutput(folder) if format == "coco" else FilesOutput(folder, format)
