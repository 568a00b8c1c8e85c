"""Reading of picture files, for every command that takes an image."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.samples import load_sample

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 200_000_000
"""Pixel limit of a picture; checked before anything is decoded."""

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""File name suffixes that folders are searched for."""

_SAMPLE = "sample:"


def stem_of(spec: str | Path) -> str:
    """Return the base name of the output files of a picture.

    Examples
    --------
    >>> stem_of("sample:coffee"), stem_of("photos/black swan.jpg")
    ('coffee', 'black swan')
    """
    text = str(spec)
    if text.startswith(_SAMPLE):
        return text.removeprefix(_SAMPLE)
    path, plane = split_plane(spec)
    return path.stem if plane is None else f"{path.stem}_{plane:04d}"


_MAX_PLANES_REMEMBERED = 3
"""Maximum number of planes of one stack in a class memory: neighbouring planes are redundant."""


def spread_planes(planes: Sequence[int]) -> list[int]:
    """Choose at most `_MAX_PLANES_REMEMBERED` planes of a stack, evenly spread.

    Examples
    --------
    >>> spread_planes([2, 3, 4, 5, 9])
    [2, 4, 9]
    """
    if len(planes) <= _MAX_PLANES_REMEMBERED:
        return list(planes)
    return [
        planes[round(i * (len(planes) - 1) / (_MAX_PLANES_REMEMBERED - 1))]
        for i in range(_MAX_PLANES_REMEMBERED)
    ]


def split_plane(spec: str | Path) -> tuple[Path, int | None]:
    """Split ``movie.tif#3`` (the fourth plane of a stack) into file and plane index.

    Examples
    --------
    >>> split_plane("movie.tif#3")[1], split_plane("movie.tif")[1]
    (3, None)
    """
    found = re.fullmatch(r"(.+\.(?:tiff?|zarr))#(\d{1,9})", str(spec), re.IGNORECASE | re.DOTALL)
    if found is None or Path(spec).exists():
        return Path(spec), None
    return Path(found[1]), int(found[2])


def count_planes(path: str | Path) -> int:
    """Count the planes of a picture file; 1 if it is no stack or cannot be read."""
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return 1
    import tifffile

    from napari_wildseg.engine.pictures.tiff_planes import tiff_layout

    try:
        with tifffile.TiffFile(path) as file:
            return tiff_layout(file, Path(path).name).planes
    except Exception:  # reading the file later raises the error
        return 1


def read_picture(spec: str | Path) -> NDArray[Any]:
    """Read a picture file, or a sample by name; apply the EXIF orientation.

    Returns ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` in the file's data type.
    """
    if str(spec).startswith(_SAMPLE):
        return load_sample(stem_of(spec))
    path, plane = split_plane(spec)
    check_readable(path)
    if path.suffix.lower() in (".tif", ".tiff"):
        return _read_tiff(path, plane)
    return _decoded(path)


def _decoded(path: Path) -> NDArray[Any]:
    """Read a picture with Pillow; of a multi-picture JPEG (MPO), read the first frame."""
    from PIL import ImageOps

    with open_picture(path) as picture:
        if getattr(picture, "n_frames", 1) > 1 and picture.format not in ("MPO", "TIFF"):
            raise InputError(
                f"{path.name} holds {picture.n_frames} frames: "  # type: ignore[attr-defined]
                "save the one you want as a picture of its own."
            )
        try:
            return _to_array(ImageOps.exif_transpose(picture))
        except (OSError, ValueError, SyntaxError, MemoryError, EOFError) as error:
            raise InputError(f"{path.name} is damaged or cut short: {reason(error)}.") from error


def check_readable(path: Path) -> None:
    """Raise `InputError` unless ``path`` is a file that can be read."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: name one file in it.")
        if path.exists() and not path.is_file():  # reading a named pipe would block
            raise InputError(f"{path} is no file.")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty.")
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}.") from error


def open_picture(path: Path, formats: list[str] | None = None) -> Image:
    """Open a picture with Pillow and check its declared size; decode nothing."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # `check_size` applies this package's own limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=formats)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path.name} has more than {MAX_PIXELS // 1_000_000} megapixels: "
            "crop it or make it smaller."
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({reason(error)})"
        raise InputError(
            f"{path.name} is not a picture that can be read{why}: convert it to PNG, JPEG or TIFF."
        ) from error
    try:
        check_size(path.name, picture.width, picture.height)
    except InputError:
        picture.close()
        raise
    return picture


def check_size(name: str, width: int, height: int) -> None:
    """Raise `InputError` if a picture declares more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} is {width} x {height} pixels, more than "
            f"{MAX_PIXELS // 1_000_000} megapixels: crop it or make it smaller."
        )


def _to_array(picture: Image) -> NDArray[Any]:
    """Decode into a mode that `as_rgb` accepts."""
    has_alpha = "transparency" in picture.info or picture.mode in ("LA", "PA", "La", "RGBa")
    if picture.mode in ("P", "PA", "LA", "La", "RGBa") or (has_alpha and picture.mode in "LRGB"):
        picture = picture.convert("RGBA" if has_alpha else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        picture = picture.convert("RGB")
    return np.array(picture)


def _read_tiff(path: Path, plane: int | None = None) -> NDArray[Any]:
    """Read one plane of a TIFF with tifffile, which knows bit depths that Pillow does not."""
    import tifffile

    from napari_wildseg.engine.pictures.tiff_planes import read_tiff_plane

    try:
        with tifffile.TiffFile(path) as file:
            return read_tiff_plane(file, path.name, plane)
    except InputError:
        raise
    except Exception as error:  # tifffile raises many types for damaged files
        if "subsampling" in str(error) and plane in (None, 0):  # Pillow decodes these
            return _decoded(path)
        if re.search("SPACE|BUF_ERROR|too small", str(error)):  # output exceeds the buffer
            raise InputError(
                f"{path.name} unpacks to far more than it declares: it is not read."
            ) from error
        raise InputError(
            f"{path.name} is not a TIFF that can be read ({reason(error)}): "
            "convert it to PNG, JPEG or plain TIFF."
        ) from error


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply a TIFF or EXIF orientation. `array`: ``(H, W)`` or ``(H, W, C)`` as stored."""
    if orientation in (2, 3):
        array = array[:, ::-1]
    if orientation in (3, 4):
        array = array[::-1]
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
        if orientation in (6, 7):
            array = array[:, ::-1]
        if orientation in (7, 8):
            array = array[::-1]
    return array


def reason(error: BaseException) -> str:
    """Return an exception's message as one short printable line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return (text if len(text) <= 120 else f"{text[:117]}...") or type(error).__name__
