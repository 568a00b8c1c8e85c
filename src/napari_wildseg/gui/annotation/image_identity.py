"""A key of an image's pixels, which recognises them under any layer name."""

import hashlib
import math
from itertools import product
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_wildseg.gui.layers.display import level_array

QUICK = 4_000_000
"""Bytes in memory that are hashed on the GUI thread, in a few milliseconds."""

WHOLE = 256_000_000
"""Bytes in memory up to which every pixel counts; of larger and lazy arrays, samples do."""

SIDE = 2048
"""A sampled plane is read whole up to this side length, else in nine patches."""


def source_of(image: Image) -> str:
    """Return the path of an image's file, empty for an image that was made in memory."""
    about = image.metadata.get("wildseg")
    opened = about.get("path") if isinstance(about, dict) else None
    return str(image.source.path or opened or "")


def is_quick(image: Image) -> bool:
    """Whether `image_key` takes a few milliseconds and reads no file."""
    array = level_array(image)
    return _in_memory(array) and array.nbytes <= QUICK


def image_key(image: Image) -> str:
    """Return a key of an image's pixels.

    The layer's name and the file's path play no part. Any thread may call it.
    """
    array = level_array(image)
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr((tuple(array.shape), str(array.dtype), bool(image.rgb))).encode())
    if _in_memory(array) and array.nbytes <= WHOLE:
        digest.update(_bytes(array))
    else:
        for part in _samples(array.shape, 3 if image.rgb else 2):
            digest.update(_bytes(np.asarray(array[part])))
    return digest.hexdigest()


def old_key(image: Image) -> str:
    """Return the key of version 0.1: layer name, path, shape, type, and a sample if in memory.

    Records of 0.1 are found by it. It is also the first key of an image whose pixels are still
    being sampled.
    """
    array = level_array(image)
    digest = hashlib.sha256()
    about = (image.name, source_of(image), tuple(array.shape), str(array.dtype))
    digest.update(repr(about).encode())
    if isinstance(array, np.ndarray):
        step = max(1, math.ceil((array.size / 8192) ** (1 / max(1, array.ndim))))
        digest.update(
            np.ascontiguousarray(array[(slice(None, None, step),) * array.ndim]).tobytes()
        )
    return digest.hexdigest()[:24]


def _in_memory(array: Any) -> bool:
    return isinstance(array, np.ndarray) and not isinstance(array, np.memmap)


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _samples(shape: tuple[int, ...], inner: int) -> list[tuple[Any, ...]]:
    """Return indices of up to three planes, in patches where a plane is large."""
    lead, (height, width) = shape[:-inner], shape[len(shape) - inner :][:2]
    planes = dict.fromkeys(tuple(part * (n - 1) // 2 for n in lead) for part in (0, 1, 2))
    patches = product(_parts(height), _parts(width)) if max(height, width) > SIDE else None
    inside = list(patches) if patches is not None else [(slice(None), slice(None))]
    return [(*plane, *patch) for plane in planes for patch in inside]


def _parts(length: int) -> list[slice]:
    """Return three stretches of 256 pixels along an axis, or the whole of a short one."""
    if length <= 3 * 256:
        return [slice(None)]
    return [slice(start, start + 256) for start in (0, (length - 256) // 2, length - 256)]
