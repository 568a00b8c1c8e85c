"""Opening of picture files: small ones are read at once, large ones and stacks lazily."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import (
    PICTURE_SUFFIXES,
    check_readable,
    count_planes,
    open_picture,
    read_picture,
    split_plane,
)
from napari_wildseg.io.lazy import LazyPicture, is_zarr, open_lazily

LARGE_IMAGE_PIXELS = 16_000_000
"""Pictures of more pixels are encoded by windows as well."""

MAX_PIXELS_IN_MEMORY = 64_000_000
"""Labels of at most this many pixels are held in memory and written as one array."""

_TIFF = (".tif", ".tiff")


def is_picture(path: Path) -> bool:
    """Whether a path is a picture file, by its ending, or a zarr folder, by its metadata files."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return path.suffix.lower() == ".zarr" and is_zarr(path)
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def planes_in(path: Path) -> int:
    """Count the planes of a picture or stack; 1 if it cannot be opened."""
    if not path.is_dir():
        return count_planes(path)
    try:
        return open_lazily(path).planes
    except InputError:  # the error is reported when the picture is read
        return 1


def open_large(spec: str | Path, detail: int | None = None) -> LazyPicture | None:
    """Open a stack, or a picture to be encoded by windows; None for a picture to be read whole.

    A given ``detail`` makes every picture count as large.
    """
    if str(spec).startswith("sample:"):
        return None if detail is None else _in_memory(read_picture(spec))
    path, plane = split_plane(spec)
    if path.is_dir():
        picture = open_lazily(path)
        return picture if plane is None else picture.single(plane)
    if path.suffix.lower() in _TIFF:
        return _open_tiff(path, plane, detail)
    check_readable(path)
    with open_picture(path) as opened:
        width, height = opened.size
    if width * height <= LARGE_IMAGE_PIXELS and detail is None:
        return None
    return _in_memory(read_picture(path))


def _in_memory(array: NDArray[Any]) -> LazyPicture:
    return LazyPicture((array,), "yx" if array.ndim == 2 else "yxc")


def _open_tiff(path: Path, plane: int | None, detail: int | None) -> LazyPicture | None:
    try:
        picture = open_lazily(path)
    except InputError:
        return None  # for example rotated: `read_picture` can read it
    several = picture.planes > 1
    large = picture.size[0] * picture.size[1] > LARGE_IMAGE_PIXELS or detail is not None
    if plane is None:
        if several or large:
            return picture
    elif large and picture.planes == count_planes(path) and plane < picture.planes:
        return picture.single(plane)
    picture.close()
    return None


def open_image(spec: str | Path) -> NDArray[Any] | LazyPicture:
    """Read a picture, or one plane of a stack; open it lazily if it is large."""
    picture = open_large(spec)
    if picture is None:
        return read_picture(spec)
    if picture.planes > 1:
        with picture:
            raise InputError(
                f"{Path(spec).name} holds {picture.planes} planes: "
                "save the one you want as a picture of its own."
            )
    if picture.size[0] * picture.size[1] > LARGE_IMAGE_PIXELS:
        return picture
    with picture:
        array = np.asarray(picture.levels[0])
        return np.moveaxis(array, 0, -1) if picture.channel_axis == 0 else array


def read_whole(picture: LazyPicture) -> NDArray[np.uint8]:
    """Read a large picture into memory. Returns ``(H, W, 3)`` uint8."""
    from napari_wildseg.engine.large import LargeImage
    from napari_wildseg.engine.large.layout import Box

    height, width = picture.size
    if height * width > MAX_PIXELS_IN_MEMORY:
        raise InputError(
            f"A picture of {width} x {height} pixels is not held in memory as a whole: "
            f"up to {MAX_PIXELS_IN_MEMORY // 1_000_000} megapixels are."
        )
    image = LargeImage(picture.levels, channel_axis=picture.channel_axis)
    return image.read(Box(0, 0, height, width))
