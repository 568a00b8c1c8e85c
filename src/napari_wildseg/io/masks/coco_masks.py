"""COCO segmentations of untrusted files to run lengths; sizes are checked before decoding."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAX_OUTLINE = 4_000_000
"""Longest outline of one segmentation, in pixels; pycocotools makes five points per pixel."""

MAX_OUTLINES = 40_000_000
"""Longest outline of all segmentations of an image, in pixels; takes half a minute."""


class SegmentationError(ValueError):
    """A segmentation cannot be read; the message is part of a sentence."""


class Region(NamedTuple):
    """Pixels of a segmentation."""

    # ``(N,)`` int64 run lengths, off, on, off, ... down the columns; the sum is the image's size.
    runs: NDArray[np.int64]
    left_out: int = 0  # number of polygons with fewer than three corners

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Convert the runs to a mask. Returns ``(H, W)`` bool."""
        flat = np.repeat(np.arange(self.runs.size) % 2 == 1, self.runs)
        return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def region_of(segmentation: object, height: int, width: int) -> Region:
    """Convert a COCO segmentation (polygons or run lengths) to a `Region`; all of it is checked."""
    if isinstance(segmentation, list):
        return _of_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict):
        raise SegmentationError(
            "it has no segmentation, neither polygons nor run lengths of the image's size"
        )
    if segmentation.get("size") != [height, width]:
        raise SegmentationError("its mask has another size than the image")
    counts = segmentation.get("counts")
    runs: NDArray[np.int64] | None = None
    if isinstance(counts, str):
        runs = _unpacked(counts)
    elif isinstance(counts, list) and all(type(n) is int and 0 <= n < 1 << 40 for n in counts):
        runs = np.array(counts, np.int64)
    if runs is None or not ((runs >= 0) & (runs <= height * width)).all():
        raise SegmentationError("its run lengths are no numbers that fit")
    if int(runs.sum()) != height * width:
        raise SegmentationError("its run lengths do not fill the image")
    return Region(runs)


def outline_of(segmentation: object) -> float:
    """Return the total outline length of polygons, in pixels; 0 for run lengths."""
    total = 0.0
    for polygon in segmentation if isinstance(segmentation, list) else ():
        usable = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if usable and all(type(v) in (int, float) for v in polygon):
            corners = np.array(polygon, float).reshape(-1, 2)
            total += float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())
    return total


def _of_polygons(polygons: list[Any], height: int, width: int) -> Region:
    from pycocotools import mask as coco

    if not polygons:
        raise SegmentationError("its segmentation is empty (a box alone?)")
    # Longer outlines, at five points per pixel, overflow the 32 bits of pycocotools.
    limit = min(4 * max(height, width) + 16, 400_000_000)
    good = []
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(
            type(v) in (int, float) and -limit <= v <= limit for v in polygon
        )
        if not numbers:
            raise SegmentationError("a polygon has corners that are no numbers or far outside")
        if len(polygon) >= 6 and len(polygon) % 2 == 0:
            good.append(polygon)
    outline = outline_of(good)
    if outline > _MAX_OUTLINE:
        raise SegmentationError(
            f"its outline is {outline:.1e} pixels long, and at most {_MAX_OUTLINE:.0e} are drawn"
        )
    if not good:
        raise SegmentationError("no polygon of it has three points")
    # pycocotools reads a polygon of four numbers as a box; these have at least six.
    codes = coco.frPyObjects(good, height, width)
    while len(codes) > 1:  # merged in groups: one by one takes quadratic time
        codes = [coco.merge(codes[i : i + 64]) for i in range(0, len(codes), 64)]
    text: Any = codes[0]["counts"]
    runs = _unpacked(text if isinstance(text, str) else text.decode("ascii"))
    assert runs is not None  # written by pycocotools, always valid
    return Region(runs, len(polygons) - len(good))


def _unpacked(counts: str) -> NDArray[np.int64] | None:
    """Decode COCO's compressed run lengths; None if they are malformed.

    The C code of pycocotools does not check them. Each number is stored in groups of five bits,
    lowest first, as characters from "0". Bit 5 marks that another group follows. From the fourth
    number on, the difference to the number two before it is stored.
    """
    letters = np.frombuffer(counts.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    last = (letters & 32) == 0
    if not letters.size or letters.min() < 0 or letters.max() > 63 or not last[-1]:
        return None
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.diff(np.append(starts, letters.size))
    if lengths.max() > 8:
        return None
    place = np.arange(letters.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((letters & 31) << (5 * place), starts)
    negative = (letters[last] & 16) > 0
    numbers = np.where(negative, numbers - (1 << (5 * lengths)), numbers)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
