"""COCO JSON: instances as run-length masks or polygons; read by painting them in file order."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, UNLABELLED, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_size
from napari_wildseg.io.atomic import atomic_write, refuse_existing
from napari_wildseg.io.description import about_from_json
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.label_image import LabelImage, classes_from_json
from napari_wildseg.io.masks.coco_masks import (
    MAX_OUTLINES,
    SegmentationError,
    outline_of,
    region_of,
)
from napari_wildseg.io.masks.polygons import components, mask_to_polygons
from napari_wildseg.io.safety.json_data import dump_json
from napari_wildseg.io.safety.owners import check_owner

OURS = "wildseg"
_MANY_RUNS = 10_000  # from this many runs on, painted by one mask
_MAX_ANNOTATIONS = 200_000
MAX_PAINTED = 20_000_000_000  # pixels over all instances; takes some seconds


def write(
    path: Path,
    labels: LabelImage,
    *,
    overwrite: bool = False,
    instances: str = "component",
    segmentation: str = "rle",
    min_size: int = 0,
    file_name: str | None = None,
) -> list[Path]:
    """Write one image's labels as a COCO file."""
    entries = annotations_of(labels, 1, 1, instances, segmentation, min_size)
    data = file_bytes(labels, labels.about(), entries, file_name=file_name)
    refuse_existing([path], overwrite=overwrite)
    check_owner(path)
    atomic_write(path, data, overwrite=overwrite)
    return [path]


def file_bytes(
    labels: LabelImage,
    about: object,
    annotations: Iterable[dict[str, Any]],
    *,
    kind: str = "labels",
    file_name: str | None = None,
) -> bytes:
    """Return the COCO file of one image, whose id is 1."""
    height, width = labels.labels.shape
    image = {
        "id": 1,
        "file_name": labels.image if file_name is None else file_name,
        "height": height,
        "width": width,
        OURS: about,  # pixel size, model and settings, for which COCO has no field
    }
    content = {
        "info": {"description": f"{kind} by napari-wildseg"},
        "images": [image],
        "categories": categories_of(labels),
        "annotations": list(annotations),
    }
    return dump_json(content)


def categories_of(labels: LabelImage) -> list[dict[str, Any]]:
    """Return COCO's list of categories, with colours and prompts beside it."""
    entries: list[dict[str, Any]] = [
        {
            "id": info.id,
            "name": info.name,
            "supercategory": "",
            "color": list(info.colour),  # spelled as in COCO's panoptic format
            "prompts": list(info.prompts),
        }
        for info in labels.classes
    ]
    if (labels.labels == UNLABELLED).any():
        entries.append({"id": UNLABELLED, "name": "unlabelled", "supercategory": ""})
    return entries


def annotations_of(
    labels: LabelImage,
    image_id: int,
    first_id: int,
    instances: str,
    segmentation: str,
    min_size: int = 0,
) -> Iterable[dict[str, Any]]:
    """Yield COCO annotations of an image."""
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
        for top, left, part in [(0, 0, mask)] if whole else components(mask, min_size=min_size):
            entry = annotation_of(number, value, top, left, part, mask.shape, image_id)
            if segmentation == "polygon" and not crowd:
                corner, polygons = np.array([left, top]), mask_to_polygons(part)
                entry["segmentation"] = [(p + corner).ravel().tolist() for p in polygons]
            yield entry
            number += 1


def annotation_of(
    number: int,
    value: int,
    top: int,
    left: int,
    part: NDArray[np.bool_],
    shape: tuple[int, ...],
    image_id: int = 1,
) -> dict[str, Any]:
    """Return the annotation of a region at a place in an image of a shape, as run lengths."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": value,
        "iscrowd": int(value == UNLABELLED),
        "area": int(np.count_nonzero(part)),
        "bbox": _box_of(top, left, part),
        "segmentation": encode_region(top, left, part, shape),
    }


class ImageAnnotations(NamedTuple):
    """One image of a COCO file with its annotations; their number and outlines are bounded."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]
    classes: tuple[ClassInfo, ...]
    values: dict[object, int]  # label value of each category id
    notices: list[str]


def read_annotations(path: Path, image: str | None) -> ImageAnnotations:
    """Read the annotations of one image, or raise `InputError`; no region is drawn yet."""
    content = read_json(path)
    where = path.name
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise InputError(f'{where} is not a COCO file: it has no list of "annotations".')
    found = _chosen_image(content.get("images"), image, where)
    everything = [a for a in content["annotations"] if isinstance(a, dict)]
    chosen = [a for a in everything if plain_id(a.get("image_id")) == found["id"]]
    if len(chosen) > _MAX_ANNOTATIONS:
        raise InputError(f"{where} has more than {_MAX_ANNOTATIONS} annotations of one image.")
    if sum(outline_of(a.get("segmentation")) for a in chosen) > MAX_OUTLINES:
        raise InputError(f"{where} draws outlines over and over: it is not read.")
    used = {plain_id(a.get("category_id")) for a in everything}
    return ImageAnnotations(
        found, chosen, *_classes_of_categories(content.get("categories"), used, where)
    )


def read(path: Path, *, image: str | None = None) -> LabelImage:
    """Read the labels of one image from a COCO file."""
    where = path.name
    found, chosen, classes, values, notices = read_annotations(path, image)
    height, width = found["height"], found["width"]
    flat: NDArray[np.uint8] = np.zeros(height * width, np.uint8)  # column-major, as the runs
    painted, bad = 0, []
    for annotation in sorted(chosen, key=lambda a: not a.get("iscrowd")):
        number = annotation.get("id")
        try:
            value = values.get(plain_id(annotation.get("category_id")))
            if value is None:
                raise SegmentationError("its category is not in the list")
            region = region_of(annotation.get("segmentation"), height, width)
        except SegmentationError as error:
            bad.append(f"annotation {number!r:.40}: {error}")
            continue
        if region.left_out:
            bad.append(f"annotation {number!r:.40}: a polygon of it has no three points")
        painted += paint_runs(flat, region.runs, value)
        if painted > MAX_PAINTED:
            raise InputError(f"{where} paints the same pixels over and over: it is not read.")
    if bad and not flat.any():
        raise InputError(f"{where}: nothing of the image can be read; {bad[0]}.")
    notices += [f"{where}: left out {entry}." for entry in bad[:5]]
    if len(bad) > 5:
        notices.append(f"{where}: {len(bad) - 5} more annotations were left out.")
    if not chosen:
        notices.append(f"{where} has no annotation of this image.")
    labels = np.ascontiguousarray(flat.reshape((height, width), order="F"))
    about: dict[str, Any] = {"image": found["file_name"]}
    if OURS in found:
        about = about_from_json(found[OURS], where, labels.shape)
        del about["classes"], about["shape"]
    return LabelImage.from_array(labels, classes, notices=tuple(notices), **about)


def paint_runs(flat: NDArray[Any], runs: NDArray[np.int64], value: int) -> int:
    """Set the pixels of runs to a value; return the number of pixels written."""
    if runs.size > _MANY_RUNS:
        flat[np.repeat(np.arange(runs.size) % 2 == 1, runs)] = value
        return flat.size
    borders = np.cumsum(runs).tolist()
    for start, end in zip(borders[::2], borders[1::2], strict=False):
        flat[start:end] = value
    return int(runs[1::2].sum())


def plain_id(number: object) -> object:
    """Return an id of a COCO file so that 7, 7.0 and "7" are one."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 16:
        return int(number)
    return number if isinstance(number, int | str) else None


def encode_region(
    top: int, left: int, part: NDArray[np.bool_], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Encode a region as COCO run lengths, column-major over the whole image."""
    from pycocotools import mask as coco

    height, width = (int(n) for n in shape)
    columns, rows = np.nonzero(part.T)
    places = (columns + left) * height + rows + top
    # A run ends where indices are not consecutive.
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


def _box_of(top: int, left: int, part: NDArray[np.bool_]) -> list[int]:
    """Return left, top, width and height."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    upper, lower = int(rows[0]), int(rows[-1])
    return [left + first, top + upper, last + 1 - first, lower + 1 - upper]


def _chosen_image(images: object, name: str | None, where: str) -> dict[str, Any]:
    """Return the entry of the chosen image, checked."""
    entries = [e for e in images if isinstance(e, dict)] if isinstance(images, list) else []
    if name is not None:
        entries = _named(entries, name)
    if len(entries) != 1:
        raise InputError(
            f"{where} has {len(entries) or 'no'} images{' of that name' if name else ''}: "
            "one is wanted; name the picture if there are several."
        )
    found = entries[0]
    height, width = plain_id(found.get("height")), plain_id(found.get("width"))
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise InputError(f"{where}: the image has no usable width and height.")
    check_size(where, width, height)
    file_name = found.get("file_name", "")
    if not isinstance(file_name, str) or len(file_name) > 4096:
        raise InputError(f"{where}: the image has no usable file_name.")
    usable = {"height": height, "width": width, "id": plain_id(found.get("id"))}
    return {**found, "file_name": file_name, **usable}


def _named(entries: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the images of a file name: with folders, without folders, or without ending."""
    paths = [(e, e["file_name"]) for e in entries if isinstance(e.get("file_name"), str)]
    for short in (
        lambda path: path,
        lambda path: PurePosixPath(path.replace("\\", "/")).name,
        lambda path: PurePosixPath(path.replace("\\", "/")).stem,
    ):
        found = [entry for entry, path in paths if short(path) == name]
        if found:
            return found
    return []


def _classes_of_categories(
    entries: object, used: set[object], where: str
) -> tuple[tuple[ClassInfo, ...], dict[object, int], list[str]]:
    """Convert categories to classes; return classes, the label of each category id, and notices."""
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InputError(f'{where} is not a COCO file: it has no list of "categories".')
    values: dict[object, int] = {}
    numbered: dict[int, dict[str, Any]] = {}
    for entry in entries:
        number = plain_id(entry.get("id"))
        if number == UNLABELLED and entry.get("name") == "unlabelled":
            values[UNLABELLED] = UNLABELLED
            continue
        if type(number) is not int or number < 0:
            raise InputError(f"{where}: category id {entry.get('id')!r:.40} is no number.")
        if number in numbered:
            raise InputError(f"{where}: two categories have the same id.")
        numbered[number] = entry
    if 0 in numbered and 0 not in used:
        del numbered[0]  # an unused parent category, written by Roboflow
    if len(numbered) > MAX_CLASSES:
        raise InputError(f"{where} has {len(numbered)} categories; at most {MAX_CLASSES} fit.")
    anew = any(not 1 <= number <= MAX_CLASSES for number in numbered)
    notices, plain = [], []
    for place, (number, entry) in enumerate(sorted(numbered.items()), start=1):
        values[number] = value = place if anew else number
        name = str(entry.get("name") or "") or f"class {value}"
        plain.append(
            {
                "id": value,
                "name": name,
                "prompts": entry.get("prompts") or [name],
                "colour": entry.get("color") or list(class_colour(value)),
            }
        )
    if anew:
        few = ", ".join(f"{number} is now {values[number]}" for number in sorted(numbered)[:3])
        notices.append(
            f"{where}: the categories are numbered anew, since labels begin at 1: {few}."
        )
    return classes_from_json(plain, where), values, notices


def mask_of(segmentation: object, height: int, width: int, where: str) -> NDArray[np.bool_]:
    """Turn a segmentation of any of COCO's three kinds into a mask; all of it is checked.

    Returns ``(H, W)`` bool.
    """
    try:
        return region_of(segmentation, height, width).mask(height, width)
    except SegmentationError as error:
        raise InputError(f"{where}: a segmentation cannot be read, since {error}.") from error


COCO_FORMAT = Format("coco", "COCO JSON", (".json",), read, write)
