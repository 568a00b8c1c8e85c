"""COCO JSON: instances as run-length masks or polygons, read back by painting them in order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import check_size
from napari_wildseg.io.atomic import atomic_write, refuse_existing
from napari_wildseg.io.description import about_from_json
from napari_wildseg.io.formats.base import Format
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.label_image import (
    LabelImage,
    classes_from_json,
    dump_json,
)
from napari_wildseg.io.owners import check_owner
from napari_wildseg.io.polygons import components, mask_to_polygons

_OURS = "wildseg"
_MAX_ANNOTATIONS = 200_000
_MAX_PAINTED = 20_000_000_000  # pixels, instances that overlap counted each: some seconds


def write(
    path: Path,
    labels: LabelImage,
    *,
    overwrite: bool = False,
    instances: str = "component",
    segmentation: str = "rle",
) -> list[Path]:
    """Write one image's labels as a COCO file.

    Parameters
    ----------
    path : Path
        The JSON.
    labels : LabelImage
        What to write. COCO has no unlabelled pixels: 255 becomes one annotation with
        ``iscrowd`` 1 of a category "unlabelled", which evaluation code ignores.
    overwrite : bool
        Whether an existing file may be replaced.
    instances : str
        ``"component"``: each connected region is an instance; ``"class"``: each class is one.
    segmentation : str
        ``"rle"`` or ``"polygon"``; both hold every pixel.

    Returns
    -------
    list of Path
        The file.
    """
    height, width = labels.labels.shape
    image = {
        "id": 1,
        "file_name": labels.image,
        "height": height,
        "width": width,
        _OURS: labels.about(),  # pixel size, model and settings, for which COCO has no place
    }
    content = {
        "info": {"description": "labels by napari-wildseg"},
        "images": [image],
        "categories": categories_of(labels),
        "annotations": list(annotations_of(labels, 1, 1, instances, segmentation)),
    }
    refuse_existing([path], overwrite=overwrite)
    check_owner(path)
    atomic_write(path, dump_json(content), overwrite=overwrite)
    return [path]


def categories_of(labels: LabelImage) -> list[dict[str, Any]]:
    """Return COCO's list of categories, with colours and prompts beside it.

    Parameters
    ----------
    labels : LabelImage
        Whose classes.
    """
    entries: list[dict[str, Any]] = [
        {
            "id": info.id,
            "name": info.name,
            "supercategory": "",
            "color": list(info.colour),  # as COCO's panoptic format spells it
            "prompts": list(info.prompts),
        }
        for info in labels.classes
    ]
    if (labels.labels == UNLABELLED).any():
        entries.append({"id": UNLABELLED, "name": "unlabelled", "supercategory": ""})
    return entries


def annotations_of(
    labels: LabelImage, image_id: int, first_id: int, instances: str, segmentation: str
) -> Iterable[dict[str, Any]]:
    """Yield COCO annotations of an image.

    Parameters
    ----------
    labels : LabelImage
        The image's labels.
    image_id, first_id : int
        Numbers of the image and of the first annotation.
    instances : str
        ``"component"`` or ``"class"``.
    segmentation : str
        ``"rle"`` or ``"polygon"``.

    Raises
    ------
    InputError
        If an option is neither.
    """
    if instances not in ("component", "class"):
        raise InputError(f'Instances are by "component" or by "class", not "{instances}".')
    if segmentation not in ("rle", "polygon"):
        raise InputError(f'A segmentation is "rle" or "polygon", not "{segmentation}".')
    number = first_id
    for value in np.flatnonzero(np.bincount(labels.labels.ravel(), minlength=256)).tolist():
        if value == 0:
            continue
        mask = labels.labels == value
        crowd = value == UNLABELLED
        whole = crowd or instances == "class"
        for top, left, part in [(0, 0, mask)] if whole else components(mask):
            shape: Any = _encode(top, left, part, mask.shape)
            if segmentation == "polygon" and not crowd:
                polygons = mask_to_polygons(part)
                shape = [(each + np.array([left, top])).ravel().tolist() for each in polygons]
            yield {
                "id": number,
                "image_id": image_id,
                "category_id": value,
                "iscrowd": int(crowd),
                "area": int(np.count_nonzero(part)),
                "bbox": _box(top, left, part),
                "segmentation": shape,
            }
            number += 1


def read(path: Path, *, image: str | None = None) -> LabelImage:
    """Read the labels of one image from a COCO file.

    Parameters
    ----------
    path : Path
        The JSON.
    image : str, optional
        Name of the picture, with or without ending, where the file has several.

    Returns
    -------
    LabelImage
        Overlapping instances are painted in the order of the file, crowds first. Categories
        beyond 254, as COCO's own numbers go up to 90, are refused.

    Raises
    ------
    InputError
        If the file is broken, has several images and none is named, or declares sizes that
        are too large.
    """
    content = read_json(path)
    where = path.name
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise InputError(f'{where} is not a COCO file: it has no list of "annotations".')
    found = _image(content.get("images"), image, where)
    height, width = found["height"], found["width"]
    classes = _classes(content.get("categories"), where)
    flat = np.zeros(height * width, np.uint8)  # down the columns, as runs go
    painted = 0
    chosen = [a for a in content["annotations"] if isinstance(a, dict)]
    chosen = [a for a in chosen if a.get("image_id") == found["id"]]
    if len(chosen) > _MAX_ANNOTATIONS:
        raise InputError(f"{where} has more than {_MAX_ANNOTATIONS} annotations of one image.")
    known = {info.id for info in classes} | {UNLABELLED}
    for annotation in sorted(chosen, key=lambda a: not a.get("iscrowd")):
        value = annotation.get("category_id")
        if type(value) is not int or value not in known:
            raise InputError(f"{where}: an annotation has no category of the list.")
        runs = _checked_runs(annotation.get("segmentation"), height, width, where)
        borders = np.cumsum(runs).tolist()
        for start, end in zip(borders[::2], borders[1::2], strict=False):
            flat[start:end] = value
        painted += sum(runs[1::2])
        if painted > _MAX_PAINTED:
            raise InputError(f"{where} paints the same pixels over and over: it is not read.")
    labels = np.ascontiguousarray(flat.reshape((height, width), order="F"))
    about: dict[str, Any] = {"image": found["file_name"]}
    if _OURS in found:
        about = about_from_json(found[_OURS], where, labels.shape)
        del about["classes"], about["shape"]
    return LabelImage.from_array(labels, classes, **about)


def _encode(top: int, left: int, part: NDArray[np.bool_], shape: tuple[int, ...]) -> dict[str, Any]:
    """Encode a region by COCO's run lengths, down the columns of the whole image."""
    from pycocotools import mask as coco

    height, width = (int(n) for n in shape)
    columns, rows = np.nonzero(part.T)
    places = (columns + left) * height + rows + top
    # A run ends where the next place is not the next pixel.
    breaks = np.flatnonzero(np.diff(places) > 1)
    firsts = places[np.concatenate([[0], breaks + 1])]
    ends = places[np.concatenate([breaks, [places.size - 1]])] + 1
    borders = np.stack([firsts, ends], axis=1).ravel()
    counts = np.diff(np.concatenate([[0], borders, [height * width]]))
    counts = counts[:-1] if counts[-1] == 0 else counts
    plain: Any = {"size": [height, width], "counts": counts.tolist()}
    code = coco.frPyObjects(plain, height, width)
    return {"size": [height, width], "counts": _text(code["counts"])}


def _text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("ascii")


def _box(top: int, left: int, part: NDArray[np.bool_]) -> list[int]:
    """Left, top, width and height."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    upper, lower = int(rows[0]), int(rows[-1])
    return [left + first, top + upper, last + 1 - first, lower + 1 - upper]


def _image(images: object, name: str | None, where: str) -> dict[str, Any]:
    """Choose and check the image."""
    entries = [e for e in images if isinstance(e, dict)] if isinstance(images, list) else []
    if name is not None:
        entries = [
            e
            for e in entries
            if isinstance(e.get("file_name"), str)
            and name in (e["file_name"], Path(e["file_name"]).stem)
        ]
    if len(entries) != 1:
        raise InputError(
            f"{where} has {len(entries) or 'no'} images{' of that name' if name else ''}: "
            "one is wanted; name the picture if there are several."
        )
    found = entries[0]
    height, width = found.get("height"), found.get("width")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise InputError(f"{where}: the image has no usable width and height.")
    check_size(where, width, height)
    file_name = found.get("file_name", "")
    if not isinstance(file_name, str) or len(file_name) > 4096:
        raise InputError(f"{where}: the image has no usable file_name.")
    return {**found, "file_name": file_name, "id": found.get("id")}


def _classes(entries: object, where: str) -> tuple[ClassInfo, ...]:
    """Turn categories into classes; each needs a number we can store."""
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InputError(f'{where} is not a COCO file: it has no list of "categories".')
    plain = []
    for entry in entries:
        number = entry.get("id")
        if number == UNLABELLED and entry.get("name") == "unlabelled":
            continue
        if type(number) is not int or not 1 <= number <= MAX_CLASSES:
            raise InputError(
                f"{where}: category id {number!r} cannot be a label; 1 to {MAX_CLASSES} can."
            )
        plain.append(
            {
                "id": number,
                "name": entry.get("name"),
                "prompts": entry.get("prompts") or [entry.get("name")],
                "colour": entry.get("color") or list(class_colour(number)),
            }
        )
    classes = classes_from_json(plain, where)
    if len({info.id for info in classes}) < len(classes):
        raise InputError(f"{where}: two categories have the same id.")
    return classes


def mask_of(segmentation: object, height: int, width: int, where: str) -> NDArray[np.bool_]:
    """Turn a segmentation of any of COCO's three kinds into a mask; all of it is checked.

    Parameters
    ----------
    segmentation : object
        A parsed JSON value.
    height, width : int
        Size of the image.
    where : str
        The file, for messages.

    Returns
    -------
    ndarray
        ``(H, W)`` bool.

    Raises
    ------
    InputError
        If it is neither polygons nor a mask of this image.
    """
    return _fill(_checked_runs(segmentation, height, width, where), height, width)


def _checked_runs(segmentation: object, height: int, width: int, where: str) -> list[int]:
    """Turn a segmentation into run lengths that are not negative and add up to the image."""
    from pycocotools import mask as coco

    wrong = InputError(f"{where}: a segmentation is neither polygons nor a mask of this image.")
    if isinstance(segmentation, list):
        limit = 4 * max(height, width) + 16
        for polygon in segmentation:
            numbers = isinstance(polygon, list) and all(
                type(v) in (int, float) and -limit <= v <= limit for v in polygon
            )
            if not numbers or len(polygon) < 6 or len(polygon) % 2:
                raise wrong
        if not segmentation:
            return [height * width]
        # pycocotools mistakes a polygon of four numbers for a box; ours have six at least.
        code = coco.merge(coco.frPyObjects(segmentation, height, width))
        return _runs(_text(code["counts"]))
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        raise wrong
    counts = segmentation.get("counts")
    runs = _runs(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(n) is int and n >= 0 for n in runs):
        raise wrong
    if sum(runs) != height * width:
        raise wrong
    return runs


def _fill(runs: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """Unpack run lengths: off, on, off, ... down the columns."""
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _runs(counts: str) -> list[int]:
    """Unpack COCO's compressed run lengths; done here, since C code would trust them.

    Each number is in groups of five bits, lowest first, in letters from "0"; bit 5 says that
    more follows, and from the fourth on the difference to the number two before is stored.
    """
    runs: list[int] = []
    at = 0
    while at < len(counts):
        number = shift = 0
        more = True
        while more:
            if at >= len(counts) or shift > 40:
                return [-1]
            letter = ord(counts[at]) - 48
            if not 0 <= letter < 64:
                return [-1]
            number |= (letter & 31) << shift
            more = bool(letter & 32)
            shift += 5
            at += 1
            if not more and letter & 16:
                number -= 1 << shift
        if len(runs) > 2:
            number += runs[-2]
        runs.append(number)
    return runs


FORMAT = Format("coco", "COCO JSON", (".json",), read, write)
