"""`read_objects` and `write_objects`: the format is chosen by the file name's ending."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import checked_path, require
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import atomic_write, current_path, read_together, refuse_existing
from napari_wildseg.io.formats import png, tiff
from napari_wildseg.io.formats.ngff_writer import (
    image_label,
    label_group,
    multiscale_of,
    write_levels,
)
from napari_wildseg.io.formats.ome_zarr import stored_labels
from napari_wildseg.io.formats.yolo import check_readable_text, size_of_picture
from napari_wildseg.io.formats.yolo_names import classes_beside
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.objects.object_image import (
    OBJECT_FORMAT,
    ObjectImage,
    described_objects,
    foreign_objects,
    refuse_large_ids,
)
from napari_wildseg.io.objects.outlines import coco_bytes, read_coco, yolo_ids, yolo_lines
from napari_wildseg.io.objects.table_csv import table_csv
from napari_wildseg.io.safety.json_data import parse_json

if TYPE_CHECKING:
    import tifffile

_NAME = "objects"


class ObjectFormat(NamedTuple):
    """How objects are written to a file with certain endings, and read."""

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, ObjectImage, bool], list[Path]]
    read: Callable[[Path], ObjectImage] | None
    stacks: bool = False


def write_objects(path: str | Path, objects: ObjectImage, *, overwrite: bool = False) -> list[Path]:
    """Write objects, whole or not at all; the ending chooses the format."""
    path = checked_path(path)
    chosen = _format_of(path)
    require(objects, ObjectImage, "objects", "an ObjectImage")
    if objects.ids.ndim > 2 and not chosen.stacks:
        raise InputError(
            f"{chosen.title} holds one plane, and these objects are a stack: write .tif or .zarr."
        )
    return chosen.write(path, objects, overwrite)


def read_objects(path: str | Path) -> ObjectImage:
    """Read objects of any format, of ours or of other programs."""
    path = checked_path(path)
    chosen = _format_of(path)
    if chosen.read is None:
        raise InputError(f"{path.name} is a table without pixels: read the file of ids.")
    return chosen.read(path)


def _format_of(path: Path) -> ObjectFormat:
    for candidate in OBJECT_FORMATS:
        if path.name.lower().endswith(candidate.suffixes):
            return candidate
    endings = ", ".join(suffix for each in OBJECT_FORMATS for suffix in each.suffixes)
    raise InputError(f"{path.name} has no ending that names a format of objects ({endings}).")


def _write_with_sidecar(path: Path, data: bytes, objects: ObjectImage, overwrite: bool) -> None:
    """Write a file and its description beside it; other programs' JSON is not replaced."""
    sidecar = png.sidecar_of(path)
    refuse_existing([path, sidecar], overwrite=overwrite)
    if sidecar.exists() and not _is_own_sidecar(sidecar):
        raise InputError(f"{sidecar} is not a description of objects: choose another name.")
    png.write_pair(path, data, objects.about(), overwrite=overwrite)


def _is_own_sidecar(sidecar: Path) -> bool:
    if not sidecar.is_file():
        return False
    with sidecar.open("rb") as file:
        return f'"format": "{OBJECT_FORMAT}"'.encode() in file.read(4096)


def _write_png(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    from PIL import Image

    refuse_large_ids(objects, "A 16-bit PNG")
    buffer = io.BytesIO()
    Image.fromarray(objects.ids.astype(np.uint16)).save(buffer, format="PNG")
    _write_with_sidecar(path, buffer.getvalue(), objects, overwrite)
    return [path, png.sidecar_of(path)]


def _read_png(path: Path) -> ObjectImage:
    def read(path: Path, sidecar: Path) -> ObjectImage:
        values, _ = png.decode(path)
        if _is_own_sidecar(sidecar):
            return described_objects(values, png.read_json(sidecar), sidecar.name)
        return foreign_objects(values, path.name, notices=png.foreign_sidecar_notice(sidecar))

    return read_together(path, png.sidecar_of(path), read)


def _write_tiff(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    refuse_large_ids(objects, "A 16-bit TIFF")
    refuse_existing([path], overwrite=overwrite)
    data = tiff.imagej_bytes(objects.ids.astype(np.uint16), objects.labels, objects.about())
    atomic_write(path, data, overwrite=overwrite)
    return [path]


def _read_tiff(path: Path) -> ObjectImage:
    def parts(file: tifffile.TiffFile) -> tuple[Any, str, Any]:
        return *tiff.values_of(file, path.name), (file.imagej_metadata or {}).get("Info")

    values, axes, info = tiff.read_file(path, parts)
    if isinstance(info, str) and f'"{OBJECT_FORMAT}"' in info[:200]:
        about = parse_json(info.encode("utf-8", "replace"), path.name)
        return described_objects(values, about, path.name)
    return foreign_objects(values, path.name, axes=axes)


def _write_coco(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    refuse_existing([path], overwrite=overwrite)
    if path.exists() and not _is_coco(path):
        raise InputError(f"{path} is no COCO file of objects: choose another name.")
    atomic_write(path, coco_bytes(objects), overwrite=overwrite)
    return [path]


def _is_coco(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"objects by napari-wildseg"' in file.read(4096)


def _write_yolo(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    _write_with_sidecar(path, yolo_lines(objects), objects, overwrite)
    return [path, png.sidecar_of(path)]


def _read_yolo(path: Path) -> ObjectImage:
    def read(path: Path, sidecar: Path) -> ObjectImage:
        check_readable_text(path)
        about = png.read_json(sidecar) if _is_own_sidecar(sidecar) else None
        text = path.read_text("utf-8", "replace")
        if isinstance(about, dict):
            inner = about.get("about")
            size = inner.get("image_size") if isinstance(inner, dict) else None
            shape = (size.get("height"), size.get("width")) if isinstance(size, dict) else ()
            if len(shape) != 2 or not all(type(n) is int and 0 < n < 100_000 for n in shape):
                raise InputError(f"{sidecar.name}: the size of the picture is not told.")
            ids, found = yolo_ids(text, shape, path.name)  # type: ignore[arg-type]
            objects = about.get("objects")
            numbers = sorted(int(n) for n in objects if n.isdigit()) if objects else []
            if len(numbers) == len(found):
                ids = np.array([0, *numbers], np.int32)[ids]
                return described_objects(ids, about, sidecar.name)
            raise InputError(f"{sidecar.name} describes {len(numbers)} objects, not {len(found)}.")
        ids, found = yolo_ids(text, size_of_picture(path), path.name)
        seen = {number: found[number] for number in np.unique(ids[ids > 0]).tolist()}
        plain = np.array([0, *found.values()], np.uint8)[ids]
        return ObjectImage(ids, LabelImage.from_array(plain, classes_beside(path)), seen)

    return read_together(path, png.sidecar_of(path), read)


def _write_zarr(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    labels = objects.labels
    classes = {info.id: info for info in labels.classes}
    with label_group(path, _NAME, overwrite=overwrite) as (_, own):
        levels = write_levels(own, objects.ids, smooth=False)
        own.attrs["multiscales"] = [multiscale_of(labels, levels)]
        own.attrs["image-label"] = image_label(
            (n, _shade(classes[k].colour, n), {"class": classes[k].name, "class-id": k})
            for n, k in objects.class_of.items()
        )
        own.attrs["wildseg-objects"] = objects.about()
    return [path]


def _shade(colour: tuple[int, int, int], number: int) -> list[int]:
    """Vary a class's colour from object to object, so that neighbours can be told apart."""
    share = 0.55 + 0.45 * (number * 0.618034 % 1)
    return [round(each * share) for each in colour]


def _read_zarr(path: Path) -> ObjectImage:
    values, attributes, _, _ = stored_labels(path, None)
    if "wildseg-objects" in attributes:
        return described_objects(values, attributes["wildseg-objects"], current_path(path).name)
    shape = [n for place, n in enumerate(values.shape) if n > 1 or place >= values.ndim - 2]
    return foreign_objects(_plane(values, shape, path), path.name)


def _plane(values: NDArray[Any], shape: list[int], path: Path) -> NDArray[Any]:
    if not 2 <= len(shape) <= 4:
        raise InputError(f"{path.name} holds {len(shape)} axes: one image or stack is wanted.")
    return values.reshape(shape)


def _write_csv(path: Path, objects: ObjectImage, overwrite: bool) -> list[Path]:
    atomic_write(path, table_csv(objects), overwrite=overwrite)
    return [path]


OBJECT_FORMATS = (
    ObjectFormat("A 16-bit PNG", (".png",), _write_png, _read_png),
    ObjectFormat("A 16-bit TIFF", (".tif", ".tiff"), _write_tiff, _read_tiff, stacks=True),
    ObjectFormat("COCO", (".json",), _write_coco, read_coco),
    ObjectFormat("YOLO", (".txt",), _write_yolo, _read_yolo),
    ObjectFormat("OME-Zarr", (".zarr",), _write_zarr, _read_zarr, stacks=True),
    ObjectFormat("A table", (".csv",), _write_csv, None, stacks=True),
)
