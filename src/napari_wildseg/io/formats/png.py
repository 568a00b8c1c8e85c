"""Indexed PNG with a colour per class (PASCAL VOC's way), and a JSON sidecar with the names."""

from __future__ import annotations

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
from napari_wildseg.io.description import described
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import (
    MAX_JSON,
    SIDECAR_FORMAT,
    LabelImage,
    dump_json,
    parse_json,
    placeholder_class,
)
from napari_wildseg.io.masks.foreign import of_others, refuse_meaning, turned
from napari_wildseg.io.safety.owners import check_owner, owned_by


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write ``path`` and the sidecar ``<stem>.json`` beside it.

    Parameters
    ----------
    path : Path
        The PNG.
    labels : LabelImage
        What to write.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    list of Path
        The two files.
    """
    sidecar = sidecar_of(path)
    refuse_existing([path, sidecar], overwrite=overwrite)
    check_owner(sidecar, path)
    with atomic_files([path, sidecar], overwrite=overwrite) as (picture, about):
        picture.write_bytes(encode(labels.labels, labels.palette))
        about.write_bytes(dump_json(owned_by(labels.about(), path)))
    return [path, sidecar]


def read(path: Path, *, value_255: str | None = None, turn: bool = True) -> LabelImage:
    """Read an indexed, grey or 16-bit PNG, with its sidecar if there is one.

    Parameters
    ----------
    path : Path
        The PNG.
    value_255 : str, optional
        See `napari_wildseg.io.read_labels`.
    turn : bool
        Whether the EXIF orientation is undone.

    Returns
    -------
    LabelImage
        Without a sidecar, classes are called ``class N`` and coloured by the palette. A JSON file
        of another program beside it is left out, with a notice.

    Raises
    ------
    InputError
        If the file is no label image, or the sidecar is broken or another image's.
    """
    how = partial(_read, value_255=value_255, turn=turn)
    return read_together(path, sidecar_of(path), how)


def _read(path: Path, sidecar: Path, *, value_255: str | None, turn: bool) -> LabelImage:
    values, palette, orientation = _decode(path)
    orientation = orientation if turn else 1
    if is_sidecar(sidecar):
        refuse_meaning(value_255, sidecar.name)
        return turned(described(values, read_json(sidecar), sidecar.name), orientation)
    notices = ignored(sidecar)
    classes = []
    if palette is not None:
        found = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[:256])
        for value in found.tolist():
            if value not in (0, UNLABELLED):
                red, green, blue = palette[value].tolist()
                classes.append(placeholder_class(value, (red, green, blue)))
    known = {"where": path.name, "value_255": value_255, "notices": notices}
    return turned(of_others(values, classes, **known), orientation)  # type: ignore[arg-type]


def encode(labels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return the bytes of an indexed PNG.

    Parameters
    ----------
    labels : ndarray
        ``(H, W)`` uint8.
    palette : ndarray
        ``(256, 3)`` uint8.
    """
    from PIL import Image

    picture = Image.fromarray(labels)  # "L", then given a palette: values stay
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def decode(path: Path) -> tuple[NDArray[np.integer], NDArray[np.uint8] | None]:
    """Return the values of a one-channel PNG, and its palette if it is indexed.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    values : ndarray
        ``(H, W)`` integers, upright.
    palette : ndarray or None
        ``(256, 3)`` uint8.

    Raises
    ------
    InputError
        If it is damaged, too large, or holds colours instead of labels.
    """
    values, palette, orientation = _decode(path)
    return np.ascontiguousarray(upright(values, orientation)), palette


def _decode(path: Path) -> tuple[NDArray[np.integer], NDArray[np.uint8] | None, int]:
    """Return values as stored, palette and orientation."""
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
        except Exception as error:  # Pillow raises what the damage happens to run into
            raise InputError(f"{path.name} is damaged or cut short ({reason(error)}).") from error
    values = values.astype(np.uint8) if values.dtype == bool else values
    return values, palette, orientation if orientation in range(2, 9) else 1


def sidecar_of(path: Path) -> Path:
    """Return where the JSON sidecar of a label file is.

    Parameters
    ----------
    path : Path
        The label file.
    """
    return path.with_suffix(".json")


def is_sidecar(path: Path) -> bool:
    """Whether a file says of itself, at its start, that it is a sidecar of ours.

    Parameters
    ----------
    path : Path
        The file; it may be missing.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"{SIDECAR_FORMAT}"'.encode() in file.read(4096)


def ignored(sidecar: Path) -> tuple[str, ...]:
    """Return the notice that a JSON file of another program is left out.

    Parameters
    ----------
    sidecar : Path
        Where ours would be.
    """
    if not sidecar.is_file():
        return ()
    return (f"{sidecar.name} was written by another program: it was not read.",)


def read_json(path: Path) -> object:
    """Read a JSON file of bounded length.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        If it cannot be read or is no JSON.
    """
    check_readable(path)
    with path.open("rb") as file:
        return parse_json(file.read(MAX_JSON + 1), path.name)


FORMAT = Format(
    "png",
    "Indexed PNG with a JSON sidecar",
    (".png",),
    read,
    write,
    masks=True,
    sidecar=True,
)
