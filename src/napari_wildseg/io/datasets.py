"""Data sets in the folder layouts of PASCAL VOC and COCO, written one image at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import checked_path, require
from napari_wildseg.engine.classes import MAX_CLASSES, MAX_NAME, UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import voc_palette
from napari_wildseg.io.atomic import atomic_files, current_path, plan_path, refuse_existing
from napari_wildseg.io.formats import coco, png
from napari_wildseg.io.formats.coco import annotations_of, categories_of
from napari_wildseg.io.label_image import (
    LabelImage,
    classes_from_json,
    dump_json,
    placeholder_class,
)
from napari_wildseg.io.safety.file_names import usable_name
from napari_wildseg.io.safety.locks import locked

_SPLITS = ("train", "val", "test", "trainval")

BATCH_FOLDER = ".wildseg-batch"
"""Folder in the output of a batch that holds its journal."""


class DataSet(Protocol):
    """A data set on disk.

    Attributes
    ----------
    folder : Path
        The root folder.
    classes : tuple of ClassInfo
        Classes of all images. Classes are matched by name, and an id never changes.
    """

    folder: Path
    classes: tuple[ClassInfo, ...]

    def add(
        self,
        stem: str,
        picture: NDArray[np.uint8],
        labels: LabelImage,
        *,
        split: str = "train",
        overwrite: bool = False,
    ) -> list[Path]:
        """Add one image; its files and the lists are written together or not at all.

        Several processes may add to one set. The folder is locked while an image is added, and
        classes that other processes added are read first.

        Parameters
        ----------
        stem : str
            Name of the image, without ending.
        picture : ndarray
            ``(H, W, 3)`` uint8.
        labels : LabelImage
            The labels of the image; classes are matched by name.
        split : str
            The list that the image is added to.
        overwrite : bool
            Whether an image of the same name may be replaced.

        Returns
        -------
        list of Path
            The files written.

        Raises
        ------
        InputError
            If the name, picture or labels cannot be used, an image of that name exists, the
            folder is the output of a batch, or another process keeps it locked.
        WildsegError
            If a file cannot be written.
        """

    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list.

        Parameters
        ----------
        split : str
            The list.
        """

    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image.

        Parameters
        ----------
        stem : str
            Name of the image.
        split : str
            The list that the image is on.
        """


class VOCDataSet:
    """A folder in the layout of PASCAL VOC 2012, as `torchvision.datasets.VOCSegmentation` reads.

    ``VOCdevkit/VOC2012/`` holds ``JPEGImages`` (JPEG of quality 95), ``SegmentationClass``
    (indexed PNG, 255 unlabelled), ``ImageSets/Segmentation/<split>.txt`` and ``labelmap.txt``.
    The last holds names and colours of the classes; the original VOC has no such file.

    Parameters
    ----------
    folder : str or Path
        The root folder; created when the first image is added.

    Attributes
    ----------
    folder : Path
        The root folder.
    classes : tuple of ClassInfo
        Classes of all images added so far.

    Raises
    ------
    InputError
        If an existing ``labelmap.txt`` cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = checked_path(folder, "folder")
        self._base = self.folder / "VOCdevkit" / "VOC2012"
        self.classes = self._read_classes()

    def add(
        self,
        stem: str,
        picture: NDArray[np.uint8],
        labels: LabelImage,
        *,
        split: str = "train",
        overwrite: bool = False,
    ) -> list[Path]:
        """Add one image; see `DataSet.add`."""
        _check(stem, picture, labels, split)
        photo = self._base / "JPEGImages" / f"{stem}.jpg"
        mask = self._base / "SegmentationClass" / f"{stem}.png"
        names, listing = self._base / "labelmap.txt", self._listing(split)
        with _adding_to(self.folder):
            refuse_existing([photo, mask], overwrite=overwrite)
            classes, mapped = merge_classes(self._read_classes(), labels)
            palette = voc_palette(256)
            for info in classes:
                palette[info.id] = info.colour
            stems = self.stems(split)
            lines = stems if stem in stems else [*stems, stem]
            files = {
                names: labelmap_bytes(classes),
                photo: jpeg_bytes(picture),
                mask: png.encode(mapped, palette),
                listing: "".join(f"{line}\n" for line in lines).encode("utf-8"),
            }
            _write(files, self.folder)
            self.classes = classes
        return [photo, mask, listing]

    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list; see `DataSet.stems`."""
        listing = _present(self._listing(split), self.folder)
        text = listing.read_text("utf-8") if listing.is_file() else ""
        return [line for line in text.split("\n") if line]

    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image; see `DataSet.read`."""
        _check_name(stem)
        mask = self._base / "SegmentationClass" / f"{stem}.png"
        found = png.read(_present(mask, self.folder), value_255="unlabelled")
        known = {info.id: info for info in found.classes}
        known |= {info.id: info for info in self.classes}
        return replace(found, classes=tuple(known.values()), image=stem)

    def _listing(self, split: str) -> Path:
        return self._base / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _read_classes(self) -> tuple[ClassInfo, ...]:
        path = _present(self._base / "labelmap.txt", self.folder)
        if not path.is_file():
            return ()
        classes: list[ClassInfo] = []
        wrong = InputError(f"{path} is not a list of name:red,green,blue:: lines.")
        with path.open("rb") as file:
            lines = file.read(1_000_000).decode("utf-8", "replace").splitlines()
        number = 0
        for line in lines:
            if not line.strip():
                continue
            parts = line.rsplit(":", 3)
            try:
                red, green, blue = (int(v) for v in parts[1].split(","))
            except (ValueError, IndexError):
                if line.startswith("#"):
                    continue  # a comment; a class may also be called "#1 mug"
                raise wrong from None
            usable = len(parts) == 4 and 0 < len(parts[0]) <= MAX_NAME
            if not usable or not all(0 <= v <= 255 for v in (red, green, blue)):
                raise wrong
            if number and number <= MAX_CLASSES:
                name = parts[0]
                classes.append(ClassInfo(number, name, (name,), (red, green, blue)))
            number += 1
        return tuple(classes)


class COCODataSet:
    """A folder in COCO's layout, as `torchvision.datasets.CocoDetection` reads.

    The layout is ``annotations/instances_<split>.json`` and ``<split>/`` with pictures as PNG.

    Parameters
    ----------
    folder : str or Path
        The root folder; created when the first image is added.
    instances : str
        ``"component"`` or ``"class"``, see `napari_wildseg.io.formats.coco.write`.
    segmentation : str
        ``"rle"`` or ``"polygon"``.
    min_size : int
        Regions of fewer pixels are merged into the nearest instance of their class.

    Attributes
    ----------
    folder : Path
        The root folder.
    classes : tuple of ClassInfo
        Classes of all images added so far.

    Raises
    ------
    InputError
        If existing annotations cannot be read.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        instances: str = "component",
        segmentation: str = "rle",
        min_size: int = 0,
    ) -> None:
        self.folder = checked_path(folder, "folder")
        self.instances = instances
        self.segmentation = segmentation
        self.min_size = min_size
        self.classes = self._read_classes()

    def add(
        self,
        stem: str,
        picture: NDArray[np.uint8],
        labels: LabelImage,
        *,
        split: str = "train",
        overwrite: bool = False,
    ) -> list[Path]:
        """Add one image; see `DataSet.add`."""
        _check(stem, picture, labels, split)
        photo = self.folder / split / f"{stem}.png"
        listing = self._listing(split)
        with _adding_to(self.folder):
            refuse_existing([photo], overwrite=overwrite)
            content = self._read(split)
            images, entries = content["images"], content["annotations"]
            same = [entry["id"] for entry in images if entry.get("file_name") == photo.name]
            classes, mapped = merge_classes(self._read_classes({split: content}), labels)
            own = replace(labels, labels=mapped, classes=classes, corrections=None)
            images = [entry for entry in images if entry["id"] not in same]
            entries = [entry for entry in entries if entry["image_id"] not in same]
            image_id = 1 + max((entry["id"] for entry in images), default=0)
            first = 1 + max((entry["id"] for entry in entries), default=0)
            height, width = mapped.shape
            images.append(
                {"id": image_id, "file_name": photo.name, "height": height, "width": width}
            )
            how = (self.instances, self.segmentation, self.min_size)
            entries += annotations_of(own, image_id, first, *how)
            categories = {entry["id"]: entry for entry in content["categories"]}
            categories |= {entry["id"]: entry for entry in categories_of(own)}
            content |= {
                "images": images,
                "categories": [categories[number] for number in sorted(categories)],
                "annotations": entries,
            }
            _write({photo: png_bytes(picture), listing: dump_json(content)}, self.folder)
            self.classes = classes
        return [photo, listing]

    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list; see `DataSet.stems`."""
        return [Path(str(entry.get("file_name"))).stem for entry in self._read(split)["images"]]

    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image; see `DataSet.read`."""
        listing = _present(self._listing(split), self.folder)
        return replace(coco.read(listing, image=stem), image=stem)

    def _listing(self, split: str) -> Path:
        return self.folder / "annotations" / f"instances_{split}.json"

    def _read_classes(self, known: Mapping[str, dict[str, Any]] = {}) -> tuple[ClassInfo, ...]:
        """Read the categories of all splits; ``known`` holds the content of splits already read."""
        by_name: dict[str, ClassInfo] = {}
        for split in _SPLITS:
            if split in known or _present(self._listing(split), self.folder).is_file():
                content = known[split] if split in known else self._read(split)
                found = _coco_classes(content, self._listing(split).name)
                by_name = {info.name: info for info in found} | by_name
        classes = tuple(sorted(by_name.values(), key=lambda info: info.id))
        if len({info.id for info in classes}) < len(classes):
            raise InputError(f"{self.folder}: its splits number their categories differently.")
        return classes

    def _read(self, split: str) -> dict[str, Any]:
        """Read the annotations of a split; checks the ids, which `add` continues."""
        path = _present(self._listing(split), self.folder)
        if not path.is_file():
            about = {"description": "labels by napari-wildseg"}
            return {"info": about, "images": [], "categories": [], "annotations": []}
        content = png.read_json(path)
        for key in ("images", "categories", "annotations"):
            entries = content.get(key) if isinstance(content, dict) else None
            ids = [e.get("id") for e in entries or [] if isinstance(e, dict)]
            if not isinstance(entries, list) or len(ids) < len(entries):
                raise InputError(f'{path} is not a COCO file: it has no list of "{key}".')
            if not all(type(number) is int for number in ids):
                raise InputError(f'{path}: an entry of "{key}" has no number.')
        if not all("image_id" in entry for entry in content["annotations"]):  # type: ignore[index]
            raise InputError(f"{path}: an annotation belongs to no image.")
        return content  # type: ignore[return-value]


def merge_classes(
    known: tuple[ClassInfo, ...], labels: LabelImage
) -> tuple[tuple[ClassInfo, ...], NDArray[np.uint8]]:
    """Map the classes of an image to those of a data set, by name.

    Parameters
    ----------
    known : tuple of ClassInfo
        Classes of the set; ids and colours do not change.
    labels : LabelImage
        The labels of the image. Names that the set lacks get the next free id.

    Returns
    -------
    classes : tuple of ClassInfo
        Classes of the set, with new ones added.
    values : ndarray
        ``(H, W)`` uint8, the image's labels with the set's ids.

    Raises
    ------
    InputError
        If the set would have more than 254 classes.
    """
    by_name = {info.name: info for info in known}
    table = np.arange(256, dtype=np.uint8)
    for info in labels.classes:
        if info.name not in by_name:
            number = max((c.id for c in by_name.values()), default=0) + 1
            if number > MAX_CLASSES:
                raise InputError(f"The data set would have more than {MAX_CLASSES} classes.")
            by_name[info.name] = replace(info, id=number)
        table[info.id] = by_name[info.name].id
    return tuple(by_name.values()), table[labels.labels]


@contextmanager
def _adding_to(folder: Path) -> Iterator[None]:
    """Lock a data set while an image is added."""
    if (folder / BATCH_FOLDER).is_dir():
        raise InputError(
            f"{folder} is the output of a batch, which keeps the lists of its images itself: "
            "choose another folder, or correct its images in Review."
        )
    with locked(folder / ".wildseg-lock", f"Another program is writing to {folder}"):
        yield


def _write(files: Mapping[Path, bytes], folder: Path) -> None:
    """Replace files of a data set together."""
    with atomic_files(list(files), overwrite=True, plan=_plan(folder)) as temporaries:
        for temporary, data in zip(temporaries, files.values(), strict=True):
            temporary.write_bytes(data)


def _present(path: Path, folder: Path) -> Path:
    return current_path(path, _plan(folder))


def _plan(folder: Path) -> Path:
    return plan_path(folder / "data set")


def _check_name(stem: str) -> None:
    if not usable_name(stem):
        raise InputError(f"{stem!r} cannot be a file's name: call the image otherwise.")


def _check(stem: str, picture: NDArray[np.uint8], labels: LabelImage, split: str) -> None:
    require(labels, LabelImage, "labels", "a LabelImage")
    require(picture, np.ndarray, "picture", "an array")
    require(split, str, "split", "its name")
    if split not in _SPLITS:
        raise InputError(f'A split is one of {", ".join(_SPLITS)}, not "{split}".')
    _check_name(stem)
    if picture.shape != (*labels.labels.shape, 3) or picture.dtype != np.uint8:
        raise InputError(
            f"The picture of {stem} is {picture.shape} {picture.dtype}; "
            f"(H, W, 3) uint8 of the labels' size is wanted."
        )


def jpeg_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as JPEG of quality 95.

    Parameters
    ----------
    picture : ndarray
        ``(H, W, 3)`` uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG.

    Parameters
    ----------
    picture : ndarray
        ``(H, W, 3)`` uint8.
    """
    from PIL import Image

    buffer = io.BytesIO()
    # For photographs, level 3 gives the size of level 6 in half the time.
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def labelmap_bytes(classes: tuple[ClassInfo, ...]) -> bytes:
    """Encode a ``labelmap.txt`` as CVAT and Datumaro read it: one line per label value, from 0.

    Parameters
    ----------
    classes : tuple of ClassInfo
        The classes; an id between theirs without a class is called ``class N``.
    """
    by_id = {info.id: info for info in classes}
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    for number in range(1, max(by_id, default=0) + 1):
        info = by_id.get(number) or placeholder_class(number)
        red, green, blue = info.colour
        name = " ".join(info.name.split())  # one line per class
        lines.append(f"{name}:{red},{green},{blue}::")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _coco_classes(content: dict[str, Any], where: str) -> tuple[ClassInfo, ...]:
    from napari_wildseg.engine.classes import class_colour

    entries = [e for e in content["categories"] if e["id"] != UNLABELLED]
    return classes_from_json(
        [
            {
                "id": e["id"],
                "name": e.get("name"),
                "prompts": e.get("prompts") or [e.get("name")],
                "colour": e.get("color") or list(class_colour(max(1, e["id"]))),
            }
            for e in entries
        ],
        where,
    )
