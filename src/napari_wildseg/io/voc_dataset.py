"""Data sets in the folder layout of PASCAL VOC."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import MAX_CLASSES, MAX_NAME, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.datasets import DataSet, check_name, jpeg_bytes, merge_classes
from napari_wildseg.io.formats import png
from napari_wildseg.io.label_image import LabelImage, placeholder_class


class VOCDataSet(DataSet):
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
        self._base = checked_path(folder, "folder") / "VOCdevkit" / "VOC2012"
        super().__init__(folder)

    def _files(self, stem: str, split: str) -> list[Path]:
        return [self._base / file for file in voc_files(stem)]

    def _contents(
        self, stem: str, picture: NDArray[np.uint8], labels: LabelImage, split: str
    ) -> tuple[dict[Path, bytes], tuple[ClassInfo, ...]]:
        photo, mask = self._files(stem, split)
        classes, own = merge_classes(self._read_classes(), labels)
        stems = self.stems(split)
        lines = stems if stem in stems else [*stems, stem]
        return {
            self._base / "labelmap.txt": labelmap_bytes(classes),
            photo: jpeg_bytes(picture),
            mask: png.encode(own.labels, own.palette),
            self._listing(split): "".join(f"{line}\n" for line in lines).encode("utf-8"),
        }, classes

    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list; see `DataSet.stems`."""
        listing = self._present(self._listing(split))
        text = listing.read_text("utf-8") if listing.is_file() else ""
        return [line for line in text.split("\n") if line]

    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image; see `DataSet.read`."""
        check_name(stem)
        mask = self._present(self._base / voc_files(stem)[1])
        found = png.read(mask, value_255="unlabelled")
        known = {info.id: info for info in found.classes}
        known |= {info.id: info for info in self.classes}
        return replace(found, classes=tuple(known.values()), image=stem)

    def _listing(self, split: str) -> Path:
        return self._base / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _read_classes(self) -> tuple[ClassInfo, ...]:
        path = self._present(self._base / "labelmap.txt")
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


def voc_files(stem: str) -> tuple[str, str]:
    """Return picture and mask of an image, relative to the base folder."""
    return f"JPEGImages/{stem}.jpg", f"SegmentationClass/{stem}.png"


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
