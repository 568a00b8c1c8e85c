"""A large image that is read box by box, so that it never is in memory as a whole."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import MIN_SIDE, intensity_range, over_white, stretch
from napari_wildseg.engine.large.layout import Box, tiles
from napari_wildseg.engine.progress import Progress, Steps

_BLOCK = 2048
"""Side of the blocks from which a reduced copy is made, in pixels."""

_SAMPLES, _SAMPLE_SIDE = 8, 128
"""Patches along each side, and their side in pixels, that are sampled for the intensity range."""


class LargeImage:
    """An image whose pixels are read on demand.

    Parameters
    ----------
    levels : array or sequence of array
        Arrays with ``shape``, ``dtype`` and slicing (NumPy, memory-mapped, dask or zarr), of shape
        ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``. A sequence is a pyramid of the whole image,
        finest level first.
    channel_axis : {-1, 0}
        Axis of the colour channels; 0 for ``(C, H, W)``.

    Attributes
    ----------
    shape : tuple of int
        ``(H, W)``.
    pixels_read : int
        Number of pixels read so far, over all levels.

    Raises
    ------
    InputError
        If the arrays are not images, or not levels of one image.
    """

    def __init__(self, levels: Any, *, channel_axis: int = -1) -> None:
        found = list(levels) if isinstance(levels, list | tuple) else [levels]
        if not found:
            raise InputError("The pyramid has no levels: give at least one array.")
        self._channels_first = channel_axis == 0 and len(found[0].shape) == 3
        self.levels = found
        sizes = [self._size(level) for level in found]
        self.shape = sizes[0]
        if any(b[0] > a[0] or b[1] > a[1] for a, b in pairwise(sizes)):
            raise InputError("The levels of the pyramid must get smaller: give the finest first.")
        self.pixels_read = 0
        self._limits: tuple[float, float] | None = None

    def _size(self, level: Any) -> tuple[int, int]:
        shape = tuple(int(n) for n in level.shape)
        channels = 1
        if len(shape) == 3:
            channels = shape[0] if self._channels_first else shape[2]
        if len(shape) not in (2, 3) or (len(shape) == 3 and channels not in (1, 3, 4)):
            raise InputError(
                f"A large image of shape {shape} cannot be segmented: "
                "give (H, W), (H, W, 3) or (H, W, 4)."
            )
        if np.dtype(level.dtype).kind not in "buif":
            raise InputError(
                f"An image of type {level.dtype} cannot be segmented: "
                "convert it to integers or floats."
            )
        size = shape[-2:] if self._channels_first or len(shape) == 2 else shape[:2]
        if min(size) < MIN_SIDE:
            raise InputError(
                f"The image is {size[1]} x {size[0]} pixels: each side needs at least {MIN_SIDE}."
            )
        return size[0], size[1]

    def level_for(self, step: float) -> int:
        """Return the coarsest level with at least one pixel per ``step`` image pixels."""
        best = 0
        for index, level in enumerate(self.levels):
            height, width = self._size(level)
            if max(self.shape[0] / height, self.shape[1] / width) <= step * 1.01:
                best = index
        return best

    def read(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Read a box of the image.

        Parameters
        ----------
        box : Box
            In pixels of the level.
        level : int
            Level of the pyramid.

        Returns
        -------
        ndarray
            ``(rows, columns, 3)`` uint8. Integers other than uint8, and floats, are scaled by one
            range for the whole image, as in `napari_wildseg.engine.images.rgb.as_rgb`.
        """
        raw = self._raw(box, level)
        self.pixels_read += raw.shape[0] * raw.shape[1]
        colours = raw[..., :3] if raw.shape[-1] == 4 else raw
        limits = None if raw.dtype in (np.uint8, bool) else self._range()
        rgb = np.broadcast_to(stretch(colours, limits), (*raw.shape[:2], 3))
        if raw.shape[-1] == 4:
            rgb = over_white(rgb, raw[..., 3])
        return np.array(rgb, dtype=np.uint8, order="C")

    def _raw(self, box: Box, level: int) -> NDArray[Any]:
        """Return the stored pixels, ``(rows, columns, C)``."""
        array, (rows, columns) = self.levels[level], box.slices
        if self._channels_first:
            return np.moveaxis(np.asarray(array[:, rows, columns]), 0, -1)
        pixels = np.asarray(array[rows, columns])
        return pixels[..., None] if pixels.ndim == 2 else pixels

    def _range(self) -> tuple[float, float]:
        """Return the intensities for black and white, from patches across the image."""
        if self._limits is None:
            level = len(self.levels) - 1
            height, width = self._size(self.levels[level])
            patches = []
            for top in _spaced(height):
                for left in _spaced(width):
                    bottom = min(top + _SAMPLE_SIDE, height)
                    raw = self._raw(Box(top, left, bottom, min(left + _SAMPLE_SIDE, width)), level)
                    self.pixels_read += raw.shape[0] * raw.shape[1]
                    patches.append(raw[..., : min(3, raw.shape[-1])].ravel())
            self._limits = intensity_range(np.concatenate(patches))
        return self._limits

    def reduced_steps(self, step: int) -> Steps[NDArray[np.uint8]]:
        """Make a reduced copy whose pixels are means of ``step`` x ``step`` image pixels.

        Parameters
        ----------
        step : int
            At least 1. Of a pyramid, the coarsest sufficient level is read.

        Returns
        -------
        ndarray
            ``(ceil(H / step), ceil(W / step), 3)`` uint8.
        """
        size = (math.ceil(self.shape[0] / step), math.ceil(self.shape[1] / step))
        level = self.level_for(step)
        stored = self._size(self.levels[level])
        out = np.empty((*size, 3), np.uint8)
        # Blocks end on whole pixels of the copy and, if the level is reduced by a power of two,
        # on whole pixels of the level.
        side = max(1, _BLOCK // step) * step
        blocks = list(tiles(self.shape, side))
        for number, block in enumerate(blocks):
            yield Progress(number, len(blocks), "Reading the image")
            source = _scaled(block, self.shape, stored)
            pixels = self.read(source, level)
            target = block.reduced(step)
            out[target.slices] = shrink(pixels, target.shape)
        return out


def shrink(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Reduce an RGB image to a shape by area averaging.

    `pixels`: ``(h, w, 3)`` uint8.
    """
    if pixels.shape[:2] == shape:
        return pixels
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    small = F.interpolate(tensor, shape, mode="area")[0].permute(1, 2, 0)
    return small.round_().clamp_(0, 255).to(torch.uint8).contiguous().numpy()


def _scaled(box: Box, shape: tuple[int, int], stored: tuple[int, int]) -> Box:
    """Return the box of a pyramid level that shows a box of the image."""
    y, x = stored[0] / shape[0], stored[1] / shape[1]
    top, left = math.floor(box.top * y + 1e-6), math.floor(box.left * x + 1e-6)
    bottom = min(stored[0], max(top + 1, math.ceil(box.bottom * y - 1e-6)))
    right = min(stored[1], max(left + 1, math.ceil(box.right * x - 1e-6)))
    return Box(min(top, bottom - 1), min(left, right - 1), bottom, right)


def _spaced(length: int) -> list[int]:
    last = max(0, length - _SAMPLE_SIDE)
    return sorted({int(at) for at in np.linspace(0, last, _SAMPLES)})


def as_large_image(image: Any) -> LargeImage:
    """Return the image as a `LargeImage`."""
    return image if isinstance(image, LargeImage) else LargeImage(image)
