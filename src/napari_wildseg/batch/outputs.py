"""The data set a batch writes: files of one image at any time, shared files at the end.

What one image adds never touches a file of another, so that images may be written by several
processes in any order. Files that all images share (lists, COCO's annotations) are assembled in
the order of the work list when all images are done; so the bytes do not depend on that order.
"""

from __future__ import annotations

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
from napari_wildseg.engine.names.palette import voc_palette
from napari_wildseg.io.atomic import atomic_path, atomic_write
from napari_wildseg.io.datasets import jpeg_bytes, labelmap_bytes, png_bytes
from napari_wildseg.io.formats import Format, png
from napari_wildseg.io.formats.coco import annotations_of, categories_of, mask_of
from napari_wildseg.io.formats.yolo_names import NAMES_FILE, names_bytes
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.labels import format_of, read_labels

_NAMES = {"tiff": "tif"}
"""Formats whose name on the command line is another than that in `napari_wildseg.io.FORMATS`."""

SPLIT = "train"
"""The list that images of a data set go on."""


class Output(Protocol):
    """Where and how a batch writes."""

    @property
    def folder(self) -> Path:
        """The output folder."""

    @property
    def takes_tiles(self) -> bool:
        """Whether labels can be written tile by tile (`napari_wildseg.io.formats.label_tiles`)."""

    def files(self, name: str) -> list[str]:
        """Files of one image, relative to the folder.

        Parameters
        ----------
        name : str
            The image's name in the batch.
        """

    @property
    def shared(self) -> tuple[str, ...]:
        """Files that all images share, relative to the folder; `finish` writes them."""

    def write(
        self,
        name: str,
        rgb: NDArray[np.uint8],
        labels: LabelImage,
        classes: Sequence[ClassInfo],
    ) -> None:
        """Write the files of one image, over what is there.

        Parameters
        ----------
        name : str
            The image's name in the batch.
        rgb : ndarray
            ``(H, W, 3)`` uint8.
        labels : LabelImage
            Its labels, ids being those of the set.
        classes : sequence of ClassInfo
            All classes of the set.
        """

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """Read the labels of one image back.

        Parameters
        ----------
        record : Record
            The image, done.
        classes : sequence of ClassInfo
            All classes of the set.

        Raises
        ------
        InputError
            If its files are missing or damaged.
        """

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """Write the files that images share.

        Parameters
        ----------
        records : iterable of Record
            Images that are done, in the order of the work list.
        classes : sequence of ClassInfo
            All classes of the set.

        Returns
        -------
        list of str
            The files, relative to the folder.
        """


@dataclass(frozen=True)
class FilesOutput:
    """Each image's labels in a file of their own.

    Attributes
    ----------
    folder : Path
        The output folder.
    format : str
        Name of a format of `napari_wildseg.io.FORMATS`.
    """

    folder: Path
    format: str
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
        self,
        name: str,
        rgb: NDArray[np.uint8],
        labels: LabelImage,
        classes: Sequence[ClassInfo],
    ) -> None:
        """See `Output.write`."""
        path = self.folder / self.files(name)[0]
        self._format.write(path, labels, overwrite=True)

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """See `Output.read`."""
        path = self.folder / self.files(record.name)[0]
        return _of_record(self._format.read(path), record, classes)

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """See `Output.finish`; names of YOLO's classes, which its files do not hold."""
        if self.format != "yolo":
            return []
        atomic_write(self.folder / NAMES_FILE, names_bytes(classes), overwrite=True)
        return [NAMES_FILE]

    @property
    def _format(self) -> Format:
        return format_of("", _NAMES.get(self.format, self.format))


@dataclass(frozen=True)
class VOCOutput:
    """PASCAL VOC's folders, as `napari_wildseg.io.VOCDataSet` writes them.

    Attributes
    ----------
    folder : Path
        The output folder.
    """

    folder: Path
    takes_tiles = False

    _BASE = "VOCdevkit/VOC2012"
    shared = (f"{_BASE}/labelmap.txt", f"{_BASE}/ImageSets/Segmentation/{SPLIT}.txt")

    def files(self, name: str) -> list[str]:
        """See `Output.files`."""
        return [f"{self._BASE}/JPEGImages/{name}.jpg", f"{self._BASE}/SegmentationClass/{name}.png"]

    def write(
        self,
        name: str,
        rgb: NDArray[np.uint8],
        labels: LabelImage,
        classes: Sequence[ClassInfo],
    ) -> None:
        """See `Output.write`."""
        photo, mask = (self.folder / file for file in self.files(name))
        palette = voc_palette(256)
        for info in classes:
            palette[info.id] = info.colour
        atomic_write(photo, jpeg_bytes(rgb), overwrite=True)
        atomic_write(mask, png.encode(labels.labels, palette), overwrite=True)

    def read(self, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
        """See `Output.read`."""
        found = read_labels(
            self.folder / self.files(record.name)[1], format="png", value_255="unlabelled"
        )
        return _of_record(found, record, classes)

    def finish(self, records: Iterable[Record], classes: Sequence[ClassInfo]) -> list[str]:
        """See `Output.finish`: the names with their colours, and the list of images."""
        names, listing = self.shared
        text = "".join(f"{record.name}\n" for record in records)
        atomic_write(self.folder / names, labelmap_bytes(tuple(classes)), overwrite=True)
        atomic_write(self.folder / listing, text.encode("utf-8"), overwrite=True)
        return [names, listing]


@dataclass(frozen=True)
class COCOOutput:
    """COCO's folders, as `napari_wildseg.io.COCODataSet` writes them.

    An image's annotations wait in a part of their own until the end, so that a killed process
    cannot damage those of others. A part is a JSON list, an annotation a line: all of them are
    put together, anew after each corrected image, without being parsed.

    Attributes
    ----------
    folder : Path
        The output folder.
    """

    folder: Path
    takes_tiles = False
    shared = (f"annotations/instances_{SPLIT}.json",)

    def files(self, name: str) -> list[str]:
        """See `Output.files`."""
        return [f"{SPLIT}/{name}.png", f"{FOLDER}/parts/{name}.json"]

    def write(
        self,
        name: str,
        rgb: NDArray[np.uint8],
        labels: LabelImage,
        classes: Sequence[ClassInfo],
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
        """Read an image's annotations, each as JSON without the ids."""
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
"""How each annotation of a part begins."""

_CROWD = f"{_ENTRY}{UNLABELLED},"
"""How those of unlabelled pixels begin."""


def _without_ids(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("id", "image_id")}


def _of_record(found: LabelImage, record: Record, classes: Sequence[ClassInfo]) -> LabelImage:
    """Give labels that were read the image's classes, those without a pixel too."""
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
    """Write a JSON list of what is JSON already, one a line."""
    lead = "["
    for entry in entries:
        file.write(f"{lead}\n{entry}")
        lead = ","
    file.write("]" if lead == "," else "[]")


OUTPUTS = ("png", "voc", "coco", "tiff", "ome-zarr", "npz", "yolo")
"""What ``--format`` takes; png first, the default."""


def open_output(format: str, folder: str | Path) -> Output:
    """Return where a batch writes.

    Parameters
    ----------
    format : str
        One of `OUTPUTS`.
    folder : str or Path
        The output folder.

    Raises
    ------
    InputError
        If there is no such format.
    """
    folder = Path(folder)
    if format not in OUTPUTS:
        raise InputError(f'There is no format "{format}": choose from {", ".join(OUTPUTS)}.')
    if format == "voc":
        return VOCOutput(folder)
    return COCOOutput(folder) if format == "coco" else FilesOutput(folder, format)
