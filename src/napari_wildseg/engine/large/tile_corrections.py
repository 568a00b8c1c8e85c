"""Corrections of a large image, held as compressed blocks, and the limits of a refinement."""

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.corrections import NOT_CORRECTED, checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.large.layout import Box, tiles
from napari_wildseg.engine.limits import Limits, new_strokes

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


class TileLimits:
    """What one refinement of a large image may not change.

    `earlier`, `corrections`: those of the last result and of this refinement; `changed`: the
    blocks in which they differ.
    """

    def __init__(
        self,
        limits: Limits,
        earlier: LargeCorrections | None,
        corrections: LargeCorrections | None,
        changed: list[Box],
    ) -> None:
        self.limits = limits
        self._earlier, self._corrections = earlier, corrections
        self._strokes: list[tuple[Box, NDArray[np.int64]]] = []  # boxes, and (n, 2) pixels
        for block in changed if limits.near is not None else ():
            pixels = self._pixels(block)
            low, high = pixels.min(0), pixels.max(0) + 1
            self._strokes.append((Box(*low.tolist(), *high.tolist()), pixels))

    def allows(self, tile: Box) -> bool:
        """Return whether the refinement may change anything in a tile."""
        near = self.limits.near
        return near is None or any(_nearest(tile, box) <= near for box, _ in self._strokes)

    def apply(
        self, tile: Box, before: NDArray[np.uint8], after: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Take back what may not change in a tile; see `Limits.apply`."""
        if not self.limits:
            return after
        reached = None
        if self.limits.near is not None:
            reached = np.zeros(tile.shape, bool)
            moved = np.argwhere(before != after)
            reached[tuple(moved.T)] = self._reached(tile, moved, self.limits.near)
        fixed = None if self._corrections is None else self._corrections.read(tile)
        return self.limits.take_back(before, after, reached, fixed)

    def _reached(self, tile: Box, places: NDArray[np.int64], near: float) -> NDArray[np.bool_]:
        """Return which of ``(n, 2)`` places in a tile are near strokes."""
        from scipy.spatial import cKDTree

        # A search in a tree needs no memory for the pixels between a tile and a distant stroke.
        strokes = [(box, pixels) for box, pixels in self._strokes if _nearest(tile, box) <= near]
        if not strokes or any(_farthest(tile, box) <= near for box, _ in strokes):
            return np.full(len(places), bool(strokes))
        tree = cKDTree(np.concatenate([pixels for _, pixels in strokes]))
        distances, _ = tree.query(np.add(places, [tile.top, tile.left]))
        return np.asarray(distances <= near)

    def _pixels(self, block: Box) -> NDArray[np.int64]:
        """Return the ``(n, 2)`` pixels of a block that were painted or released."""
        then, now = (
            None if corrections is None else corrections.read(block)
            for corrections in (self._earlier, self._corrections)
        )
        painted = new_strokes(now, then)
        assert painted is not None  # the block has changed
        return np.add(np.argwhere(painted), [block.top, block.left])


def _nearest(a: Box, b: Box) -> float:
    """Return the distance between the nearest pixels of two boxes."""
    down = max(0, b.top - a.bottom + 1, a.top - b.bottom + 1)
    across = max(0, b.left - a.right + 1, a.left - b.right + 1)
    return math.hypot(down, across)


def _farthest(a: Box, b: Box) -> float:
    """Return the distance between the farthest pixels of two boxes."""
    down = max(b.bottom - a.top, a.bottom - b.top) - 1
    across = max(b.right - a.left, a.right - b.left) - 1
    return math.hypot(down, across)
