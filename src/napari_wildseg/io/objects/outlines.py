"""Objects as COCO annotations and as lines of YOLO, one each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.formats.coco import (
    MAX_PAINTED,
    OURS,
    annotation_of,
    file_bytes,
    paint_runs,
    plain_id,
    read_annotations,
)
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.coco_masks import SegmentationError, region_of
from napari_wildseg.io.masks.polygons import mask_to_polygons
from napari_wildseg.io.objects.object_image import ObjectImage, described_objects


def regions(objects: ObjectImage) -> list[tuple[int, int, int, NDArray[np.bool_]]]:
    """Return id, first row, first column and mask of each object, in the order of ids."""
    from scipy import ndimage

    numbers, compact = np.unique(objects.ids, return_inverse=True)
    compact = compact.reshape(objects.ids.shape) + (0 if 0 in numbers else 1)
    numbers = numbers[numbers > 0]
    found = []
    for place, box in enumerate(ndimage.find_objects(compact), start=1):
        rows, columns = box
        inside = compact[rows, columns] == place
        found.append((int(numbers[place - 1]), int(rows.start), int(columns.start), inside))
    return found


def coco_bytes(objects: ObjectImage) -> bytes:
    """Return a COCO file with one annotation an object; its id is the object's."""
    found = [(n, objects.class_of[n], top, left, part) for n, top, left, part in regions(objects)]
    missing = objects.labels.labels == UNLABELLED
    if missing.any():
        found.append((int(objects.ids.max()) + 1, UNLABELLED, 0, 0, missing))
    entries = [annotation_of(*each, objects.ids.shape) for each in found]
    return file_bytes(objects.labels, objects.about(), entries, kind="objects")


def read_coco(path: Path, *, image: str | None = None) -> ObjectImage:
    """Read the objects of one image from a COCO file: an annotation is an object."""
    where = path.name
    found, chosen, classes, values, notices = read_annotations(path, image)
    shape = (found["height"], found["width"])
    ours = found.get(OURS) if isinstance(found.get(OURS), dict) else None
    own_ids = ours is not None and isinstance(ours.get("objects"), dict)
    ids = np.zeros(shape[0] * shape[1], np.int32)  # down the columns, as runs go
    class_of: dict[int, int] = {}
    painted = 0
    for place, annotation in enumerate((a for a in chosen if not a.get("iscrowd")), start=1):
        number = plain_id(annotation.get("id")) if own_ids else place
        value = values.get(plain_id(annotation.get("category_id")))
        if value is None or type(number) is not int or not 1 <= number < 2**31:
            raise InputError(f"{where}: annotation {place} has no usable id or category.")
        try:
            runs = region_of(annotation.get("segmentation"), *shape).runs
        except SegmentationError as error:
            raise InputError(f"{where}: annotation {place} cannot be read: {error}.") from None
        painted += paint_runs(ids, runs, number)
        if painted > MAX_PAINTED:
            raise InputError(f"{where} paints the same pixels over and over: it is not read.")
        class_of[number] = value
    array = np.ascontiguousarray(ids.reshape(shape, order="F"))
    if own_ids:
        return described_objects(array, ours, where)
    labels = LabelImage(np.zeros(shape, np.uint8), classes, image=found["file_name"])
    kept = {number: class_of[number] for number in np.unique(array[array > 0]).tolist()}
    return ObjectImage(array, replace(labels, notices=tuple(notices)), kept)


def yolo_lines(objects: ObjectImage) -> bytes:
    """Return lines of YOLO segmentation, one an object."""
    height, width = objects.ids.shape
    size = np.array([width, height], np.float64)
    lines = []
    for number, top, left, inside in regions(objects):
        outline = _one_outline(mask_to_polygons(inside)) + np.array([left, top])
        corners = " ".join(f"{v:.8g}" for v in (outline / size).ravel())
        lines.append(f"{objects.class_of[number] - 1} {corners}\n")
    return "".join(lines).encode("ascii")


def _one_outline(pieces: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join closed outlines into one; the way to each piece and back encloses nothing."""
    first = pieces[0]
    start = first[0]
    ring = [first, first[:1]]
    for piece in pieces[1:]:
        corner = np.array([[piece[0][0], start[1]]])  # along pixel edges, past no pixel's centre
        ring += [corner, piece, piece[:1], corner, first[:1]]
    return first if len(pieces) == 1 else np.concatenate(ring)[:-1]


def yolo_ids(text: str, shape: tuple[int, int], where: str) -> tuple[NDArray[Any], dict[int, int]]:
    """Paint lines of YOLO as objects 1, 2, ...; gives the ids and their classes."""
    from napari_wildseg.io.formats.yolo import painted_lines

    ids = np.zeros(shape, np.int32)
    class_of = {}
    for number, (value, box, inside) in enumerate(painted_lines(text, shape, where), start=1):
        ids[box][inside] = number
        class_of[number] = value
    return ids, class_of
