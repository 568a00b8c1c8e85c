"""From a napari image layer to the plane that is shown, as RGB.

`capture` runs on the GUI thread and only takes notes; `PlaneSource.read` runs on the worker and
computes no more of a lazy array than the plane.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_wildseg.engine.images.rgb import max_intensity

SERVING_SIDE = 4096
"""Of a pyramid, the finest level whose sides are at most this long is used."""

WINDOWED = 2048 * 2048
"""Planes of more pixels are looked at through windows and refined tile by tile."""

RELEVANCE = "relevance"
"""What ``layer.metadata["wildseg"]`` says of a relevance map, which is no image to segment."""


@dataclass(frozen=True)
class Plane:
    """A 2-D plane of an array: one index for each axis, None where the whole axis is taken."""

    index: tuple[int | None, ...]

    @property
    def slices(self) -> tuple[slice | int, ...]:
        """What to index an array with."""
        return tuple(slice(None) if i is None else i for i in self.index)

    def expand(
        self, rows: NDArray[np.integer], columns: NDArray[np.integer]
    ) -> tuple[NDArray[np.integer], ...]:
        """Turn positions in the plane into positions in the array, of the same integer type."""
        inside = iter((rows, columns))
        return tuple(
            next(inside) if i is None else np.full(rows.shape, i, rows.dtype) for i in self.index
        )

    def embed(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Give a 2-D array the array's number of axes, of length one where one index is taken."""
        inside = iter(plane.shape)
        return plane.reshape([next(inside) if i is None else 1 for i in self.index])

    def is_parallel(self, other: Plane) -> bool:
        """Whether another plane of the same array is parallel."""
        return [i is None for i in self.index] == [i is None for i in other.index]

    def __str__(self) -> str:
        fixed = [i for i in self.index if i is not None]
        return "plane " + ", ".join(map(str, fixed)) if fixed else "image"


def serving_level(layer: Image) -> int:
    """Return the pyramid level that is segmented; 0 for an image without levels."""
    if not layer.multiscale:
        return 0
    axes = slice(-3, -1) if layer.rgb else slice(-2, None)
    for level, array in enumerate(layer.data):
        if max(array.shape[axes]) <= SERVING_SIDE:
            return level
    return len(layer.data) - 1


def level_array(layer: Image) -> Any:
    """Return the array that is segmented, without reading it."""
    return layer.data[serving_level(layer)] if layer.multiscale else layer.data


def level_shape(layer: Image) -> tuple[int, ...]:
    """Return the shape of that array, colour channels left out."""
    shape = tuple(int(n) for n in level_array(layer).shape)
    return shape[:-1] if layer.rgb else shape


def current_plane(layer: Image, point: Sequence[float], order: Sequence[int]) -> Plane:
    """Return the plane of an image that a viewer shows."""
    shape = level_shape(layer)
    ndim = len(shape)
    offset = len(order) - ndim
    # A viewer may have more axes than the layer; the layer's are the last ones.
    displayed = [axis - offset for axis in order if axis >= offset][-2:]
    position = np.asarray(layer.world_to_data(np.asarray(point)[-ndim:]), float)
    if layer.multiscale:
        position = position / np.asarray(layer.downsample_factors)[serving_level(layer)][:ndim]
    return Plane(
        tuple(
            None if axis in displayed else int(np.clip(round(position[axis]), 0, shape[axis] - 1))
            for axis in range(ndim)
        )
    )


def steps_of(layer: Image, plane: Plane, shape: tuple[int, ...]) -> list[float]:
    """Return how many pixels of the segmented level the cells of a grid take along each axis.

    `shape`: ``(h, w)`` of the grid; its cells tile the plane.
    """
    cells = iter(shape)
    return [
        length / next(cells) if index is None else 1.0
        for index, length in zip(plane.index, level_shape(layer), strict=True)
    ]


def planes_like(layer: Image, plane: Plane) -> list[Plane]:
    """Return all planes of an image that lie like one of them."""
    return list(planes_of(level_shape(layer), plane))


def planes_of(shape: tuple[int, ...], plane: Plane) -> Iterator[Plane]:
    """Go through all planes of an array that lie like one of them."""
    ranges = [
        (None,) if index is None else range(length)
        for index, length in zip(plane.index, shape, strict=True)
    ]
    return (Plane(index) for index in itertools.product(*ranges))


@dataclass(frozen=True)
class _Channel:
    """One array and how napari shows it."""

    array: Any
    slices: tuple[slice | int, ...]
    rgb: bool
    limits: tuple[float, float]
    gamma: float
    lut: NDArray[np.uint8]
    opacity: float

    def read(self, part: tuple[slice, slice] | None = None) -> NDArray[Any]:
        slices = self.slices
        if part is not None:
            inside = iter(part)
            slices = tuple(next(inside) if isinstance(s, slice) else s for s in slices)
        plane = np.asarray(self.array[slices])
        if self.rgb:
            return plane
        low, high = self.limits
        span = (high - low) or 1.0
        level = (np.nan_to_num(plane.astype(np.float32), nan=low) - low) * np.float32(1 / span)
        level = np.clip(level, 0, 1)
        if self.gamma != 1:
            level **= self.gamma
        return np.asarray(self.lut[np.rint(level * 255).astype(np.uint8)])

    def light(self, part: tuple[slice, slice] | None = None) -> NDArray[np.float32]:
        """Return what it adds to a picture of several channels: ``(H, W, 3)``, 255 is bright."""
        pixels = self.read(part)
        shown = pixels.astype(np.float32)
        if self.rgb:
            # As napari draws colours: the whole range of a type of integers, floats from 0 to 1.
            shown = np.nan_to_num(shown / np.float32(max_intensity(pixels.dtype)))
            shown = np.clip(shown, 0, 1) * np.float32(255)
            if shown.shape[-1] == 4:
                shown = shown[..., :3] * (shown[..., 3:] / 255)
        return shown * np.float32(self.opacity)


@dataclass(frozen=True)
class PlaneSource:
    """One plane of an image as it is shown, not read yet."""

    channels: tuple[_Channel, ...]
    key: tuple[object, ...]

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)``, without reading anything."""
        first = self.channels[0]
        shape = first.array.shape
        height, width = (
            int(n) for n, s in zip(shape, first.slices, strict=False) if isinstance(s, slice)
        )
        return height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what `read` returns."""
        first = self.channels[0]
        return np.dtype(first.array.dtype if first.rgb and len(self.channels) == 1 else np.uint8)

    @property
    def is_windowed(self) -> bool:
        """Whether the plane is so large that it is looked at through windows."""
        height, width = self.size
        return height * width > WINDOWED

    def read(self, part: tuple[slice, slice] | None = None) -> NDArray[Any]:
        """Return ``(H, W, 3)`` uint8, or for RGB layers the pixels as they are."""
        if len(self.channels) == 1:
            return self.channels[0].read(part)
        total: NDArray[np.float32] | None = None
        for channel in self.channels:
            shown = channel.light(part)
            total = shown if total is None else total + shown
        assert total is not None  # there is always the layer itself
        return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def capture(layer: Image, plane: Plane, others: Iterable[Any] = ()) -> PlaneSource:
    """Note what is shown of a plane."""
    channels = tuple(_note(each, plane) for each in channels_of(layer, others))
    key = tuple(
        (
            id(c.array),
            plane.index,
            c.limits,
            c.gamma,
            c.opacity,
            zlib.crc32(c.lut.tobytes()),
            _sample(c),
        )
        for c in channels
    )
    return PlaneSource(channels, key)


def _note(layer: Image, plane: Plane) -> _Channel:
    lut = np.rint(np.asarray(layer.colormap.map(np.linspace(0, 1, 256)))[:, :3] * 255).astype(
        np.uint8
    )
    low, high = layer.contrast_limits
    return _Channel(
        array=level_array(layer),
        slices=plane.slices,
        rgb=bool(layer.rgb),
        limits=(float(low), float(high)),
        gamma=float(layer.gamma),
        lut=lut,
        opacity=float(layer.opacity),
    )


def channels_of(layer: Image, others: Iterable[Any]) -> list[Image]:
    """Return the layers shown together with an image as its channels, the image included."""
    found: list[Image] = []
    for other in others:
        if other is not layer and not _lies_on(other, layer):
            continue
        if str(other.blending) != "additive":
            if layer in found:
                break
            found = []
        found.append(other)
    return found if layer in found else [layer]


def _lies_on(other: Any, layer: Image) -> bool:
    """Whether a layer is a picture in view, of the same shape and place as a grey image."""
    if not isinstance(other, Image) or not other.visible or layer.rgb:
        return False
    shape = level_shape(layer)
    if level_shape(other) != shape or other.metadata.get("wildseg") == RELEVANCE:
        return False
    corners = ([0] * layer.ndim, [n - 1 for n in shape])
    return all(np.allclose(other.data_to_world(c), layer.data_to_world(c)) for c in corners)


def _sample(channel: _Channel) -> int:
    """Checksum of a few thousand pixels: an array edited in place is another image."""
    if not isinstance(channel.array, np.ndarray):
        return 0
    plane = channel.array[channel.slices]
    step = max(1, math.isqrt(plane.shape[0] * plane.shape[1] // 4096))
    return zlib.crc32(np.ascontiguousarray(plane[::step, ::step]).tobytes())
