"""Corrections of a large image: scanned once, then read where they are needed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.large.layout import Box, tiles

_READ = 2048
"""Side of the boxes that are read at once, in pixels."""

_BLOCK_SIDE = 64
"""Side of the blocks in which corrections are compared, in pixels."""


class LargeCorrections:
    """All corrections of one image.

    `array`: ``(H, W)`` integers, any array that can be sliced: -1 not corrected, 0 background,
    else a class id; `shape`: ``(H, W)`` of the image.
    """

    def __init__(self, array: Any, shape: tuple[int, int], ids: Sequence[int]) -> None:
        if tuple(array.shape) != tuple(shape):
            raise InputError(
                f"The corrections have shape {tuple(array.shape)}, the image {tuple(shape)}: "
                "they must be the same."
            )
        self._array = array
        self._to_place = np.full(256, -1, np.int16)
        self._to_place[[0, *ids]] = np.arange(len(ids) + 1)
        self.blocks: dict[Box, int] = {}
        for outer in tiles(shape, _READ):
            values = checked_corrections(np.asarray(array[outer.slices]), outer.shape, ids)
            if not (values >= 0).any():
                continue
            for inner in tiles(outer.shape, _BLOCK_SIDE):
                part = values[inner.slices]
                if (part >= 0).any():
                    box = Box(
                        outer.top + inner.top,
                        outer.left + inner.left,
                        outer.top + inner.bottom,
                        outer.left + inner.right,
                    )
                    self.blocks[box] = zlib.crc32(np.ascontiguousarray(part).data)

    def read(self, box: Box) -> NDArray[np.int16] | None:
        """Return the corrections of a box as class indices; None if there are none."""
        if not any(block.meets(box) for block in self.blocks):
            return None
        values = np.asarray(self._array[box.slices]).astype(np.int16)
        if not (values >= 0).any():
            return None
        return np.where(values < 0, np.int16(-1), self._to_place[values])


def changed_blocks(before: LargeCorrections | None, after: LargeCorrections | None) -> list[Box]:
    """Return the blocks in which two sets of corrections differ."""
    old = {} if before is None else before.blocks
    new = {} if after is None else after.blocks
    return sorted(box for box in {*old, *new} if old.get(box) != new.get(box))
