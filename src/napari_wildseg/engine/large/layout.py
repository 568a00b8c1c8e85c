"""Positions of the windows and tiles of a large image, as boxes of whole pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAX_WINDOWS = 400
"""Maximum number of windows per level, each of which costs one forward pass."""

OVERLAP = 0.25
"""Smallest overlap of neighbouring windows, as a fraction of their side."""


@dataclass(frozen=True, order=True)
class Box:
    """A box of whole pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an ``(H, W)`` array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """Return the box with a margin on every side, clipped at the image's borders."""
        return Box(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(shape[0], self.bottom + margin),
            min(shape[1], self.right + margin),
        )

    def overlaps(self, other: Box) -> bool:
        """Return whether the two boxes share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def common(self, other: Box) -> Box:
        """Return the pixels that two boxes share; they must meet."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def moved(self, down: int, right: int) -> Box:
        """Return the box moved by a number of pixels."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Return the index of this box in an array of the box ``outer``."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    def reduced(self, step: int) -> Box:
        """Return the box in a copy of the image that is reduced by ``step``."""
        return Box(
            self.top // step,
            self.left // step,
            math.ceil(self.bottom / step),
            math.ceil(self.right / step),
        )


def windows(shape: tuple[int, int], side: int) -> tuple[Box, ...]:
    """Cover an image with overlapping square windows.

    `shape`: ``(H, W)`` of the image.

    Examples
    --------
    >>> [box.left for box in windows((100, 300), 100)]
    [0, 66, 133, 200]
    """
    rows, height = _starts(shape[0], side)
    columns, width = _starts(shape[1], side)
    return tuple(Box(top, left, top + height, left + width) for top in rows for left in columns)


def _starts(length: int, side: int) -> tuple[list[int], int]:
    side = min(side, length)
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return np.floor(np.linspace(0, length - side, count)).astype(int).tolist(), side


def window_steps(
    shape: tuple[int, int], base_side: int, detail: int | None = None
) -> tuple[int, ...]:
    """Choose the scales of the windows: image pixels per pixel of the network's input.

    `shape`: ``(H, W)`` of the image.

    Examples
    --------
    >>> window_steps((4000, 4000), 384), window_steps((20000, 20000), 384)
    ((4, 2, 1), (16, 8, 4))
    """
    step = detail or 1
    while detail is None and len(windows(shape, base_side * step)) > MAX_WINDOWS:
        step *= 2
    steps = [step]
    while 2 * base_side * steps[0] * 2 <= math.sqrt(shape[0] * shape[1]):
        steps.insert(0, steps[0] * 2)
    return tuple(steps)


def tiles(shape: tuple[int, int], side: int) -> Iterator[Box]:
    """Yield the tiles of an image, row by row; the last ones may be smaller.

    `shape`: ``(H, W)`` of the image.
    """
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield Box(top, left, min(top + side, shape[0]), min(left + side, shape[1]))
