"""Limits of a refinement (`napari_wildseg.engine.limits`), applied tile by tile."""

import math

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.large.layout import Box
from napari_wildseg.engine.large.tile_corrections import LargeCorrections
from napari_wildseg.engine.limits import Limits, new_strokes


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
