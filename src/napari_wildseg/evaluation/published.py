"""Evaluation sets in the layouts of PASCAL VOC and COCO."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.pictures.picture_files import check_size
from napari_wildseg.evaluation.evaluation_set import EvaluationItem, EvaluationSet
from napari_wildseg.io.masks.coco_masks import (
    MAX_OUTLINES,
    SegmentationError,
    outline_of,
    region_of,
)

_YEARS = ("", "2017", "2014")
_OWN_UNLABELLED = (UNLABELLED, "unlabelled")
"""Category of unlabelled pixels in COCO files written by this package."""


def open_set(
    folder: str | Path, split: str = "val", *, value_255: str | None = None
) -> EvaluationSet:
    """Open an evaluation set of any layout: our own, PASCAL VOC's or COCO's.

    References
    ----------
    Everingham et al., *The PASCAL Visual Object Classes Challenge*, IJCV 2010. Lin et al.,
    *Microsoft COCO: Common Objects in Context*, ECCV 2014.
    """
    folder = Path(folder)
    for base in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012"):
        if (base / "ImageSets" / "Segmentation").is_dir():
            return _voc(base, split, value_255)
    if (folder / "annotations").is_dir():
        return _coco(folder, split)
    return EvaluationSet.open(folder, value_255=value_255)


# -- PASCAL VOC --------------------------------------------------------------------------------


def _voc(base: Path, split: str, value_255: str | None) -> EvaluationSet:
    lists = base / "ImageSets" / "Segmentation"
    listing = lists / f"{split}.txt"
    if not listing.is_file():
        there = ", ".join(path.stem for path in sorted(lists.glob("*.txt"))) or "none"
        raise InputError(f'{base} has no list of images "{split}": choose from {there}.')
    names = _voc_names(base)
    items = []
    for line in listing.read_text("utf-8").splitlines():
        stem = line.strip()
        if not stem:
            continue
        if Path(stem).name != stem:
            raise InputError(f"{listing} names {stem!r}, which is no image of this set.")
        image = _find_file(base / "JPEGImages", stem, (".jpg", ".jpeg"))
        mask = _find_file(base / "SegmentationClass", stem, (".png",))
        for path in (image, mask):
            if not path.is_file():
                raise InputError(f"{listing.name} lists {stem}, but there is no {path}.")
        items.append(EvaluationItem(stem, image, mask, names, value_255=value_255))
    return _sample_evenly(items, listing)


def _find_file(folder: Path, stem: str, endings: tuple[str, ...]) -> Path:
    """Return a file by its stem and any of the endings, in lower or upper case."""
    for ending in endings:
        for path in (folder / f"{stem}{ending}", folder / f"{stem}{ending.upper()}"):
            if path.is_file():
                return path
    return folder / f"{stem}{endings[0]}"


def _voc_names(base: Path) -> dict[int, str]:
    """Return the names in ``labelmap.txt``, written by tools; without it VOC's own twenty."""
    path = base / "labelmap.txt"
    if not path.is_file():
        return dict(enumerate(load_vocabulary("voc"), start=1))
    lines = path.read_text("utf-8", errors="replace").splitlines()
    # A class may be called "#1 mug"; only a line without a colour is a comment.
    entries = [
        line.rsplit(":", 3)[0]
        for line in lines
        if line.strip() and (line[0] != "#" or re.search(r":\d+,\d+,\d+:[^:]*:[^:]*$", line))
    ]
    return dict(enumerate(entries[1 : MAX_CLASSES + 1], start=1))


# -- COCO --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _COCOItem(EvaluationItem):
    """One image of COCO: the mask is painted from the annotated instances."""

    size: tuple[int, int] = (0, 0)  # ``(H, W)`` as annotated
    # Mask value and annotation of each instance.
    instances: tuple[tuple[int, dict[str, Any]], ...] = field(default=(), repr=False)

    def mask(self) -> NDArray[np.uint8]:
        """Paint the instances: ``(H, W)`` uint8.

        Where instances overlap, the smaller one is on top. Regions marked as a crowd are painted
        like any other.
        """
        check_size(self.mask_path.name, *self.size)
        if sum(outline_of(entry.get("segmentation")) for _, entry in self.instances) > MAX_OUTLINES:
            raise InputError(f"{self.mask_path.name} draws outlines of {self.stem} over and over.")
        painted = np.zeros(self.size, np.uint8)
        regions = [(value, self._region(entry)) for value, entry in self.instances]
        # Unlabelled pixels are painted last, over all others.
        for value, region in sorted(regions, key=lambda r: (r[0] == UNLABELLED, -r[1].sum())):
            painted[region] = value
        return painted

    def _region(self, entry: dict[str, Any]) -> NDArray[np.bool_]:
        try:
            return region_of(entry.get("segmentation"), *self.size).mask(*self.size)
        except SegmentationError as error:
            raise InputError(
                f"{self.mask_path.name}: annotation {entry.get('id')} of {self.stem} "
                f"cannot be read ({error})."
            ) from error


def _coco(folder: Path, split: str) -> EvaluationSet:
    listing = pictures = None
    for year in _YEARS:
        listing = folder / "annotations" / f"instances_{split}{year}.json"
        if listing.is_file():
            places = (folder / f"{split}{year}", folder / "images" / f"{split}{year}")
            pictures = next((place for place in places if place.is_dir()), None)
            break
    if listing is None or not listing.is_file():
        raise InputError(
            f'{folder} has no annotations/instances_{split}.json (nor with a year): the split "'
            f'{split}" is not there.'
        )
    if pictures is None:
        raise InputError(f"{folder} has no folder {split} (nor with a year) with the pictures.")
    try:
        content = json.loads(listing.read_text("utf-8"))
        categories = sorted((int(c["id"]), str(c["name"])) for c in content["categories"])
        values = {UNLABELLED: UNLABELLED} if _OWN_UNLABELLED in categories else {}
        classes = [entry for entry in categories if entry != _OWN_UNLABELLED]
        values |= {number: value for value, (number, _) in enumerate(classes, start=1)}
        names = {value: name for value, (_, name) in enumerate(classes, start=1)}
        found: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        for entry in content["annotations"]:
            value = values[entry["category_id"]]
            found.setdefault(entry["image_id"], []).append((value, entry))
        items = []
        for about in sorted(content["images"], key=lambda image: str(image["file_name"])):
            path = pictures / str(about["file_name"])
            if path.parent != pictures:
                raise InputError(f"{listing} names {path}, which is no picture of this set.")
            if about["id"] in found:  # images without annotations are left out
                size = (int(about["height"]), int(about["width"]))
                instances = tuple(found[about["id"]])
                items.append(_COCOItem(path.stem, path, listing, names, size, instances))
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{listing} is not COCO's instance annotations ({error!r}).") from error
    if len(classes) > MAX_CLASSES:
        raise InputError(f"{listing} has {len(classes)} classes; at most {MAX_CLASSES} fit.")
    return _sample_evenly(items, listing)


def _sample_evenly(items: Iterable[EvaluationItem], listing: Path) -> EvaluationSet:
    held = tuple(items)
    if not held:
        raise InputError(f"{listing} lists no image that could be measured.")
    return EvaluationSet(held, per_image=False)
