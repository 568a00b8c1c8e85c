"""Indexed PNG as in PASCAL VOC, with a JSON sidecar for class names and all else."""

import io
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import (
    check_readable,
    open_picture,
    reason,
    upright,
)
from napari_wildseg.io.atomic import atomic_files, read_together, refuse_existing
from napari_wildseg.io.description import labels_with_description
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import SIDECAR_FORMAT, LabelImage, placeholder_class
from napari_wildseg.io.masks.foreign import foreign_labels, refuse_value_255, upright_labels
from napari_wildseg.io.safety.json_data import MAX_JSON, dump_json, parse_json
from napari_wildseg.io.safety.owners import check_owner, with_owner


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``path`` and the sidecar ``<stem>.json`` beside it."""
    sidecar = sidecar_of(path)
    refuse_existing([path, sidecar], overwrite=overwrite)
    check_owner(sidecar, path)
    data = encode(labels.labels, labels.palette)
    return write_pair(path, data, with_owner(labels.about(), path), overwrite=overwrite)


def write_pair(path: Path, data: bytes, about: object, *, overwrite: bool) -> list[Path]:
    """Write a file and its description beside it, both or none."""
    sidecar = sidecar_of(path)
    with atomic_files([path, sidecar], overwrite=overwrite) as (file, text):
        file.write_bytes(data)
        text.write_bytes(dump_json(about))
    return [path, sidecar]


def read(path: Path, *, value_255: str | None = None, turn: bool = True) -> LabelImage:
    """Read an indexed, grey or 16-bit PNG, with its sidecar if there is one.

    Without a sidecar, classes are called ``class N`` and coloured by the palette.
    """
    how = partial(_read, value_255=value_255, turn=turn)
    return read_together(path, sidecar_of(path), how)


def _read(path: Path, sidecar: Path, *, value_255: str | None, turn: bool) -> LabelImage:
    values, palette, orientation = _decode(path)
    orientation = orientation if turn else 1
    if is_sidecar(sidecar):
        refuse_value_255(value_255, sidecar.name)
        return upright_labels(
            labels_with_description(values, read_json(sidecar), sidecar.name), orientation
        )
    notices = foreign_sidecar_notice(sidecar)
    classes = []
    if palette is not None:
        found = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[:256])
        for value in found.tolist():
            if value not in (0, UNLABELLED):
                red, green, blue = palette[value].tolist()
                classes.append(placeholder_class(value, (red, green, blue)))
    known = {"where": path.name, "value_255": value_255, "notices": notices}
    return upright_labels(foreign_labels(values, classes, **known), orientation)  # type: ignore[arg-type]


def encode(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Encode labels as an indexed PNG.

    `labels`: ``(H, W)`` uint8; `palette`: ``(256, 3)`` uint8.
    """
    from PIL import Image

    picture = Image.fromarray(labels)  # mode "L" with a palette added: values do not change
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def decode(path: Path) -> tuple[NDArray[np.integer], NDArray[np.uint8] | None]:
    """Read a one-channel PNG.

    Returns the values, ``(H, W)`` integers, upright; and the palette, ``(256, 3)`` uint8, None if
    the file is not indexed.
    """
    values, palette, orientation = _decode(path)
    return np.ascontiguousarray(upright(values, orientation)), palette


def _decode(path: Path) -> tuple[NDArray[np.integer], NDArray[np.uint8] | None, int]:
    """Return the values as stored, the palette and the EXIF orientation."""
    check_readable(path)
    with open_picture(path, formats=["PNG"]) as picture:
        if picture.mode not in ("P", "L", "1", "I;16", "I;16B", "I"):
            raise InputError(
                f"{path.name} is a colour picture, not labels: "
                "save the labels as an indexed or grey PNG."
            )
        palette = None
        try:
            values = np.array(picture)
            orientation = picture.getexif().get(274, 1)
            if picture.mode == "P":
                flat = picture.getpalette("RGB") or []
                palette = np.zeros((256, 3), np.uint8)
                palette.ravel()[: len(flat)] = flat[:768]
        except Exception as error:  # Pillow raises many types for a damaged file
            raise InputError(f"{path.name} is damaged or cut short ({reason(error)}).") from error
    values = values.astype(np.uint8) if values.dtype == bool else values
    return values, palette, orientation if orientation in range(2, 9) else 1


def sidecar_of(path: Path) -> Path:
    """Return the path of the JSON sidecar of a label file."""
    return path.with_suffix(".json")


def is_sidecar(path: Path) -> bool:
    """Whether a file exists and begins with the format name of our sidecars."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"{SIDECAR_FORMAT}"'.encode() in file.read(4096)


def foreign_sidecar_notice(sidecar: Path) -> tuple[str, ...]:
    """Return a notice if a JSON file of another program is in place of the sidecar."""
    if not sidecar.is_file():
        return ()
    return (f"{sidecar.name} was written by another program: it was not read.",)


def read_json(path: Path) -> object:
    """Read a JSON file; raise `InputError` if it is missing, invalid or too long."""
    check_readable(path)
    with path.open("rb") as file:
        return parse_json(file.read(MAX_JSON + 1), path.name)


PNG_FORMAT = Format(
    "png", "Indexed PNG with a JSON sidecar", (".png",), read, write, masks=True, sidecar=True
)
