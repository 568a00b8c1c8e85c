"""Corrections of a large image: scanned once, then held as compressed blocks."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.corrections import NOT_CORRECTED, checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.large.layout import Box, tiles

_READ = 2048
"""Side of the boxes that are read at once, in pixels; a multiple of `_BLOCK_SIDE`."""

_BLOCK_SIDE = 64
"""Side of the blocks in which corrections are held and compared, in pixels."""


class LargeCorrections:
    """All corrections of one image; later changes of the array do not matter.

    `array`: ``(H, W)`` integers, any array that can be sliced: -1 not corrected, 0 background,
    else a class id; `shape`: ``(H, W)`` of the image.
    """

    def __init__(self, array: Any, shape: tuple[int, int], ids: Sequence[int]) -> None:
        if tuple(array.shape) != tuple(shape):
            raise InputError(
                f"The corrections have shape {tuple(array.shape)}, the image {tuple(shape)}: "
                "they must be the same."
            )
        self._shape = shape
        packed = np.zeros(256, np.uint8)  # by id + 1: class index + 1, 0 = not corrected
        packed[[1, *(i + 1 for i in ids)]] = np.arange(1, len(ids) + 2)
        self.blocks: dict[Box, bytes] = {}
        for outer in tiles(shape, _READ):
            values = checked_corrections(np.asarray(array[outer.slices]), outer.shape, ids)
            if not (values >= 0).any():
                continue
            for inner in tiles(outer.shape, _BLOCK_SIDE):
                part = values[inner.slices]
                if (part >= 0).any():
                    box = inner.moved(outer.top, outer.left)
                    self.blocks[box] = zlib.compress(packed[part + 1].tobytes(), 1)

    def read(self, box: Box) -> NDArray[np.int16] | None:
        """Return the corrections of a box as class indices; None if there are none."""
        found = np.full(box.shape, NOT_CORRECTED, np.int16)
        for block in self._blocks_of(box):
            part = np.frombuffer(zlib.decompress(self.blocks[block]), np.uint8)
            shared = block.common(box)
            inside = part.reshape(block.shape)[shared.within(block)]
            found[shared.within(box)] = inside.astype(np.int16) - 1
        return found if (found >= 0).any() else None

    def _blocks_of(self, box: Box) -> Iterator[Box]:
        height, width = self._shape
        for top in range(box.top // _BLOCK_SIDE * _BLOCK_SIDE, box.bottom, _BLOCK_SIDE):
            for left in range(box.left // _BLOCK_SIDE * _BLOCK_SIDE, box.right, _BLOCK_SIDE):
                bottom, right = min(top + _BLOCK_SIDE, height), min(left + _BLOCK_SIDE, width)
                block = Box(top, left, bottom, right)
                if block in self.blocks:
                    yield block


def changed_blocks(before: LargeCorrections | None, after: LargeCorrections | None) -> list[Box]:
    """Return the blocks in which two sets of corrections differ."""
    old = {} if before is None else before.blocks
    new = {} if after is None else after.blocks
    return sorted(box for box in {*old, *new} if old.get(box) != new.get(box))
