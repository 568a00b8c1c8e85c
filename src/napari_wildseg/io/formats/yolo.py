"""YOLO segmentation text: one line per polygon, with a JSON sidecar for all else."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_readable, check_size, open_picture
from napari_wildseg.io.atomic import read_together, refuse_existing
from napari_wildseg.io.description import about_from_json
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.formats.png import (
    foreign_sidecar_notice,
    is_sidecar,
    read_json,
    sidecar_of,
    write_pair,
)
from napari_wildseg.io.formats.yolo_names import classes_beside, picture_of
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.polygons import components, mask_to_polygons, polygon_to_mask
from napari_wildseg.io.safety.json_data import MAX_JSON
from napari_wildseg.io.safety.owners import check_owner, with_owner


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``path`` and the sidecar ``<stem>.json`` beside it.

    Class numbers are ids minus 1. A region with holes becomes several polygons.
    """
    sidecar = sidecar_of(path)
    refuse_existing([path, sidecar], overwrite=overwrite)
    check_owner(sidecar, path)
    height, width = labels.labels.shape
    size = np.array([width, height], np.float64)
    lines = []
    for info in labels.classes:
        for top, left, part in components(labels.labels == info.id):
            for piece in mask_to_polygons(part):
                polygon = piece + np.array([left, top])
                # Eight digits distinguish pixel edges in every picture of an allowed size.
                corners = " ".join(f"{v:.8g}" for v in (polygon / size).ravel())
                lines.append(f"{info.id - 1} {corners}\n")
    data = "".join(lines).encode("ascii")
    return write_pair(path, data, with_owner(labels.about(), path), overwrite=overwrite)


def read(path: Path, *, size: tuple[int, int] | None = None) -> LabelImage:
    """Read a YOLO segmentation file; later lines are painted over earlier ones.

    ``size`` is the height and width of the picture, by default from the sidecar or the picture.
    """
    return read_together(path, sidecar_of(path), partial(_read, size=size))


def _read(path: Path, sidecar: Path, *, size: tuple[int, int] | None) -> LabelImage:
    check_readable_text(path)
    about: dict[str, Any] = {}
    parsed = read_json(sidecar) if is_sidecar(sidecar) else None
    if isinstance(parsed, dict) and size is None:
        declared = parsed.get("image_size")
        if isinstance(declared, dict):
            size = declared.get("height"), declared.get("width")  # type: ignore[assignment]
    size = size or size_of_picture(path)
    height, width = size
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise InputError(f"{path.name}: the size of its picture is not known.")
    check_size(path.name, width, height)
    if parsed is not None:
        about = about_from_json(parsed, sidecar.name, (height, width))
        del about["shape"]
    else:
        about = {"classes": classes_beside(path), "notices": foreign_sidecar_notice(sidecar)}
    labels = np.zeros((height, width), np.uint8)
    text = path.read_text("utf-8", "replace")
    for value, box, inside in painted_lines(text, (height, width), path.name):
        labels[box][inside] = value
    return LabelImage.from_array(labels, **about)


def painted_lines(
    text: str, shape: tuple[int, int], where: str
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield the class of each line, and the box and mask of what its polygon covers."""
    height, width = shape
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            value = int(float(fields[0])) + 1
            corners = np.array(fields[1:], np.float64).reshape(-1, 2)
        except (ValueError, OverflowError):
            raise InputError(f"{where}, line {number}: not a class and a polygon.") from None
        inside = len(corners) >= 3 and np.isfinite(corners).all() and np.abs(corners).max() <= 4
        if not inside or not 1 <= value <= MAX_CLASSES:
            raise InputError(
                f"{where}, line {number}: a class from 0 to {MAX_CLASSES - 1} and at least "
                "three corners from 0 to 1 are wanted."
            )
        # Fill only the bounding box of the polygon.
        points = corners * np.array([width, height])
        low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, [width, height])
        high = np.clip(np.ceil(points.max(axis=0)).astype(int), 0, [width, height])
        span = (int(high[1] - low[1]), int(high[0] - low[0]))
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        mask = polygon_to_mask(points - low, span) if min(span) > 0 else np.zeros(span, bool)
        yield value, box, mask


def check_readable_text(path: Path) -> None:
    """Raise `InputError` if a text file cannot be read or is too long; it may be empty."""
    try:
        empty = path.is_file() and path.stat().st_size == 0
        too_long = path.is_file() and path.stat().st_size > MAX_JSON
    except OSError:
        empty = too_long = False
    if too_long:
        raise InputError(f"{path.name} is longer than {MAX_JSON // 1_000_000} MB.")
    if not empty:
        check_readable(path)


def size_of_picture(path: Path) -> tuple[int, int]:
    """Return height and width of the picture that belongs to a label file, after EXIF rotation."""
    picture = picture_of(path)
    if picture is None:
        raise InputError(
            f"{path.name} does not tell the size of its picture: put the picture beside it, or in "
            "images in place of labels."
        )
    with open_picture(picture) as opened:
        turned = opened.getexif().get(274, 1) in (5, 6, 7, 8)
        width, height = opened.size
    return (width, height) if turned else (height, width)


YOLO_FORMAT = Format(
    "yolo",
    "YOLO segmentation text with a JSON sidecar",
    (".txt",),
    read,
    write,
    unlabelled=False,
    sidecar=True,
)
