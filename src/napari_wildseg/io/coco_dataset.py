"""Data sets in the folder layout of COCO."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.datasets import SPLITS, DataSet, merge_classes, png_bytes
from napari_wildseg.io.formats import coco, png
from napari_wildseg.io.formats.coco import annotations_of, categories_of
from napari_wildseg.io.label_image import LabelImage, classes_from_json
from napari_wildseg.io.safety.json_data import dump_json


class COCODataSet(DataSet):
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
        self.instances = instances
        self.segmentation = segmentation
        self.min_size = min_size
        super().__init__(folder)

    def _files(self, stem: str, split: str) -> list[Path]:
        return [self.folder / split / f"{stem}.png"]

    def _contents(
        self, stem: str, picture: NDArray[np.uint8], labels: LabelImage, split: str
    ) -> tuple[dict[Path, bytes], tuple[ClassInfo, ...]]:
        (photo,) = self._files(stem, split)
        content = self._read(split)
        images, entries = content["images"], content["annotations"]
        same = [entry["id"] for entry in images if entry.get("file_name") == photo.name]
        classes, own = merge_classes(self._read_classes({split: content}), labels)
        images = [entry for entry in images if entry["id"] not in same]
        entries = [entry for entry in entries if entry["image_id"] not in same]
        image_id = 1 + max((entry["id"] for entry in images), default=0)
        first = 1 + max((entry["id"] for entry in entries), default=0)
        height, width = own.labels.shape
        images.append({"id": image_id, "file_name": photo.name, "height": height, "width": width})
        how = (self.instances, self.segmentation, self.min_size)
        entries += annotations_of(own, image_id, first, *how)
        categories = {entry["id"]: entry for entry in content["categories"]}
        categories |= {entry["id"]: entry for entry in categories_of(own)}
        content |= {
            "images": images,
            "categories": [categories[number] for number in sorted(categories)],
            "annotations": entries,
        }
        return {photo: png_bytes(picture), self._listing(split): dump_json(content)}, classes

    def stems(self, split: str = "train") -> list[str]:
        """Return the names of the images on a list; see `DataSet.stems`."""
        return [Path(str(entry.get("file_name"))).stem for entry in self._read(split)["images"]]

    def read(self, stem: str, *, split: str = "train") -> LabelImage:
        """Read the labels of one image; see `DataSet.read`."""
        listing = self._present(self._listing(split))
        return replace(coco.read(listing, image=stem), image=stem)

    def _listing(self, split: str) -> Path:
        return self.folder / "annotations" / f"instances_{split}.json"

    def _read_classes(self, known: Mapping[str, dict[str, Any]] = {}) -> tuple[ClassInfo, ...]:
        """Read the categories of all splits; ``known`` holds the content of splits already read."""
        by_name: dict[str, ClassInfo] = {}
        for split in SPLITS:
            if split in known or self._present(self._listing(split)).is_file():
                content = known[split] if split in known else self._read(split)
                found = _coco_classes(content, self._listing(split).name)
                by_name = {info.name: info for info in found} | by_name
        classes = tuple(sorted(by_name.values(), key=lambda info: info.id))
        if len({info.id for info in classes}) < len(classes):
            raise InputError(f"{self.folder}: its splits number their categories differently.")
        return classes

    def _read(self, split: str) -> dict[str, Any]:
        """Read the annotations of a split; checks the ids, which `add` continues."""
        path = self._present(self._listing(split))
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


def _coco_classes(content: dict[str, Any], where: str) -> tuple[ClassInfo, ...]:
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
