"""Planes, colour models and compressions of TIFF files, for full and for lazy reading."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_size, upright
from napari_wildseg.engine.pictures.tiff_colours import (
    Convert,
    colour_conversion,
    convert_in_blocks,
)

MAX_PLANE_BYTES = 2_000_000_000
"""Limit of one uncompressed plane, in bytes."""

# Lossless codecs whose decoder (imagecodecs) writes at most the declared size.
_LOSSLESS = {1, 2, 3, 4, 5, 8, 32773, 32946, 50000}
_JPEG = {7}
_JPEG2000 = {33003, 33004, 33005, 34712}


@dataclass(frozen=True)
class TiffLayout:
    """TiffLayout of a TIFF file."""

    series: Any  # the described picture or stack
    pictures: int  # number of pictures of different sizes, without thumbnails and masks
    # One letter per axis of length > 1: ``y``, ``x``, ``c`` for samples or colours of a pixel,
    # other letters for planes.
    axes: str
    shape: tuple[int, ...]  # lengths of these axes
    # Converts stored samples to colours; None if they are grey, RGB or RGBA already.
    convert: Convert | None
    channels: int  # samples of a converted pixel: 0 (grey), 3 or 4
    dtype: np.dtype[Any]  # of a converted pixel
    orientation: int  # TIFF orientation, 1 to 8

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` as stored."""
        return self.shape[self.axes.index("y")], self.shape[self.axes.index("x")]

    @property
    def planes(self) -> int:
        """Number of planes; pages of different sizes count as planes."""
        lengths = zip(self.axes, self.shape, strict=True)
        inside = int(np.prod([n for axis, n in lengths if axis not in "yxc"], dtype=np.int64))
        return inside if inside > 1 else self.pictures


def tiff_layout(file: Any, name: str, picture: int = 0) -> TiffLayout:
    """Read the layout of a TIFF from its tags, before any pixel is decoded."""
    pictures = [s for s in file.series if not int(s.keyframe.subfiletype) & 5] or file.series[:1]
    series = pictures[picture]
    page = series.keyframe
    check_compression(file, page, name)
    letters = [
        (axis.lower().replace("s", "c" if page.samplesperpixel > 1 else "s"), n)
        for axis, n in zip(series.axes, series.shape, strict=True)
    ]
    # Of channels stored as separate pages, three are taken for RGB; others are planes.
    colours = page.samplesperpixel == 1 and page.photometric != 3
    kept = []
    for (axis, n), original in zip(letters, series.axes, strict=True):
        if n == 1 and axis not in "yx":
            continue
        if original == "C" and not (colours and n == 3):
            axis = "p"
        kept.append((axis, n))
    axes = "".join(axis for axis, _ in kept)
    if axes.count("y") != 1 or axes.count("x") != 1 or axes.count("c") > 1:
        raise InputError(f'{name} has axes "{series.axes}", which name no single image plane.')
    own = page.samplesperpixel if page.samplesperpixel > 1 else 1
    convert, channels, dtype = colour_conversion(page, own, name)
    if own == 1 and "c" in axes:  # three channels of grey
        channels = 3
    tag = page.tags.get("Orientation")
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    shape = tuple(n for _, n in kept)
    return TiffLayout(series, len(pictures), axes, shape, convert, channels, dtype, orientation)


def read_tiff_plane(file: Any, name: str, plane: int | None) -> NDArray[Any]:
    """Read a picture or one plane of a stack; read only that page where planes are pages.

    Returns ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` in the file's data type, oriented upright.
    """
    layout = tiff_layout(file, name)
    count = layout.planes
    if plane is None and count > 1:
        raise InputError(
            f"{name} holds {count} planes: save the one you want as a picture of its own."
        )
    if plane is not None and plane >= count:
        raise InputError(f"{name} holds {count} planes; there is no plane {plane}.")
    if layout.pictures == count and plane:
        layout, count = tiff_layout(file, name, plane), 1
    series, axes = layout.series, layout.axes
    height, width = layout.size
    check_size(name, width, height)
    inner = [n for n, axis in zip(layout.shape, axes, strict=True) if axis in "yxc"]
    planes_first = axes[: len(axes) - len(inner)]
    paged = len(series.pages) == count and not set(planes_first) & set("yxc")
    whole = count == 1 or layout.pictures == count or not paged
    if (1 if not whole else count) * np.prod(
        inner, dtype=float
    ) * series.dtype.itemsize > MAX_PLANE_BYTES:
        raise InputError(
            f"{name} declares more than {MAX_PLANE_BYTES / 1e9:.0f} GB: split or crop it."
        )
    if whole:
        array = np.asarray(series.asarray()).reshape(layout.shape)
        if count > 1 and layout.pictures != count:
            order = sorted(range(len(axes)), key=lambda i: axes[i] in "yxc")
            array = array.transpose(order).reshape(count, *inner)[plane]
    else:
        array = np.asarray(series.pages[plane].asarray()).reshape(inner)
    if "c" in axes and axes.index("c") < axes.index("y"):
        array = np.moveaxis(array, 0, -1)
    if layout.convert is not None:
        array = convert_in_blocks(layout.convert, array)
    return np.ascontiguousarray(upright(array, layout.orientation))


def check_compression(file: Any, page: Any, name: str) -> None:
    """Raise `InputError` if a page's compression is unsupported or its output not bounded."""
    page = page.aspage()
    code = int(page.compression)
    if code not in _LOSSLESS | _JPEG | _JPEG2000:
        title = re.sub(r"\W", "", getattr(page.compression, "name", "")) or str(code)
        raise InputError(
            f"{name} is compressed by {title}, which is not read: save it uncompressed, or by "
            "LZW, deflate, JPEG or JPEG 2000."
        )
    if code in _LOSSLESS:
        return
    limit = 4 * max(1, int(np.prod(page.chunks[:2]))) + 4096
    size_of = _jpeg_size if code in _JPEG else _jpeg2000_size
    heads = [page.jpegtables] if code in _JPEG and page.jpegtables else []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count:
            file.filehandle.seek(offset)
            heads.append(file.filehandle.read(min(count, 1 << 16)))
        if heads and any(size_of(head) > limit for head in heads):
            raise InputError(f"{name} unpacks to far more than it declares: it is not read.")
        heads.clear()


def _jpeg_size(head: bytes) -> int:
    """Return the number of pixels in a JPEG's frame header; ``1 << 62`` if it is malformed."""
    at, size = 2, 0
    while at + 2 <= len(head):
        if head[at] != 0xFF:
            return 1 << 62
        marker = head[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0xDA, 0xD9):  # start of scan, end of image
            return size
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(head[at + k : at + k + 2], "big") for k in (5, 7))
            size = max(size, height * width)
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return size or 1 << 62


def _jpeg2000_size(head: bytes) -> int:
    """Return the number of samples in the image size segment of a JPEG 2000 codestream."""
    at = head.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(head) < at + 42:
        return 1 << 62
    right, bottom = (int.from_bytes(head[at + k : at + k + 4], "big") for k in (8, 12))
    return right * bottom


class ConvertedArray:
    """A lazy array whose samples are converted to colours on reading."""

    def __init__(self, array: Any, axes: str, layout: TiffLayout) -> None:
        self._array, self._axes = array, axes
        self._convert: Convert = layout.convert or (lambda stored: stored)
        kept = [int(n) for n, axis in zip(array.shape, axes, strict=True) if axis != "c"]
        self.shape = (*kept, *([layout.channels] if layout.channels else []))
        self.dtype = layout.dtype
        self.axes = axes.replace("c", "") + ("c" if layout.channels else "")

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        inside = iter([k for k in keys if k is not Ellipsis][: len(self._axes.replace("c", ""))])
        stored = tuple(
            slice(None) if axis == "c" else next(inside, slice(None)) for axis in self._axes
        )
        values = np.asarray(self._array[stored])
        if "c" in self._axes and self._axes.index("c") < self._axes.index("y"):
            values = np.moveaxis(values, -3, -1)
        return self._convert(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[()], dtype=dtype)
