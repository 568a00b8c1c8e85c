"""COCO segmentations of untrusted files as run lengths; the work is bounded before it begins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_OUTLINE = 8_000_000
"""Longest outline of one segmentation, in pixels: the mask library makes five points a pixel."""


class SegmentationError(ValueError):
    """A segmentation that is none; says what is wrong with it, as part of a sentence."""


class Region(NamedTuple):
    """Pixels of a segmentation.

    Attributes
    ----------
    runs : list of int
        Off, on, off, ... down the columns; not negative, and they add up to the image.
    left_out : int
        How many of its polygons have fewer than three corners, and so no pixel.
    outline : float
        Length of its polygons, in pixels: what it cost to draw them.
    """

    runs: list[int]
    left_out: int = 0
    outline: float = 0.0

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Unpack the runs.

        Parameters
        ----------
        height, width : int
            Size of the image.

        Returns
        -------
        ndarray
            ``(H, W)`` bool.
        """
        lengths = np.array(self.runs, np.int64)
        flat = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
        return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def region_of(segmentation: object, height: int, width: int) -> Region:
    """Turn a segmentation of any of COCO's kinds into run lengths; all of it is checked.

    Parameters
    ----------
    segmentation : object
        A parsed JSON value: polygons, run lengths or compressed run lengths.
    height, width : int
        Size of the image.

    Raises
    ------
    SegmentationError
        If it is neither polygons nor a mask of this image, or has no usable polygon at all.
    """
    if isinstance(segmentation, list):
        return _of_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict):
        raise SegmentationError("it has no segmentation")
    if segmentation.get("size") != [height, width]:
        raise SegmentationError("its mask has another size than the image")
    counts = segmentation.get("counts")
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(n) is int and n >= 0 for n in runs):
        raise SegmentationError("its run lengths are no numbers")
    if sum(runs) != height * width:
        raise SegmentationError("its run lengths do not fill the image")
    return Region(runs)


def _of_polygons(polygons: list[Any], height: int, width: int) -> Region:
    from pycocotools import mask as coco

    if not polygons:
        raise SegmentationError("its segmentation is empty (a box alone?)")
    # Beyond this, five points a pixel would no longer fit into the library's 32 bits.
    limit = min(4 * max(height, width) + 16, 400_000_000)
    good, outline = [], 0.0
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(
            type(v) in (int, float) and -limit <= v <= limit for v in polygon
        )
        if not numbers:
            raise SegmentationError("a polygon has corners that are no numbers or far outside")
        if len(polygon) < 6 or len(polygon) % 2:
            continue
        corners = np.array(polygon, float).reshape(-1, 2)
        outline += float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())
        good.append(polygon)
    if outline > MAX_OUTLINE:
        raise SegmentationError(
            f"its outline is {outline:.1e} pixels long, and at most {MAX_OUTLINE:.0e} are drawn"
        )
    if not good:
        raise SegmentationError("no polygon of it has three corners")
    # The library takes a polygon of four numbers for a box; these have six at least.
    codes = coco.frPyObjects(good, height, width)
    while len(codes) > 1:  # in a tree: one by one, the time would grow with the square
        codes = [coco.merge(codes[i : i + 64]) for i in range(0, len(codes), 64)]
    text: Any = codes[0]["counts"]
    runs = _unpacked(text if isinstance(text, str) else text.decode("ascii"))
    return Region(runs, len(polygons) - len(good), outline)


def _unpacked(counts: str) -> list[int]:
    """Unpack COCO's compressed run lengths; done here, since C code would trust them.

    Each number is in groups of five bits, lowest first, in letters from "0"; bit 5 says that
    more follows, and from the fourth on the difference to the number two before is stored.
    """
    runs: list[int] = []
    at = 0
    while at < len(counts):
        number = shift = 0
        more = True
        while more:
            if at >= len(counts) or shift > 40:
                return [-1]
            letter = ord(counts[at]) - 48
            if not 0 <= letter < 64:
                return [-1]
            number |= (letter & 31) << shift
            more = bool(letter & 32)
            shift += 5
            at += 1
            if not more and letter & 16:
                number -= 1 << shift
        if len(runs) > 2:
            number += runs[-2]
        runs.append(number)
    return runs
