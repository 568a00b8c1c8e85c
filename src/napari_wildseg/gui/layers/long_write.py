"""Many changed pixels, written over several turns of the event loop, as one undo step.

napari takes about 20 ns to write a pixel and to note it in its history: a third of a second for
a plane of 4096 x 4096 pixels. So the pixels are written in bands, and between two bands the
window answers. Strokes and readers of the labels have the rest written first (`finish`). If
something else changes the layer in between, such as an undo, the bands are reverted and that
change stays.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui.annotation.decisions import Patch
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import set_visible

BAND = 1_000_000
"""Pixels that are written in one turn, some 20 ms."""

CHANGED = "The labels changed while the result was being written, so it was left out: run it again."


class LongWrite:
    """Writes a patch into a plane of a label layer."""

    def __init__(
        self, layer: Labels, plane: Plane, patch: Patch, done: Callable[[Exception | None], object]
    ) -> None:
        self._layer, self._plane, self._patch, self._done = layer, plane, patch, done
        self._array = layer.data
        self._next = 0
        self._open = ExitStack()
        self._ended = False
        self._writing = False
        self._foreign = False

    def start(self, *, at_once: bool = False) -> None:
        """Write the first band, and the others in later turns of the event loop."""
        if not self._patch.where.size:
            self._end(None)
            return
        self._open.enter_context(self._layer.block_history())
        # A hidden layer is made visible while written; no frame may be drawn meanwhile.
        if at_once or not self._layer.visible or self._patch.where.size <= BAND:
            self.finish()
            return
        for event in (self._layer.events.set_data, self._layer.events.labels_update):
            event.connect(self._on_change)
            self._open.callback(event.disconnect, self._on_change)
        self._write_next()

    def finish(self) -> None:
        """Write the rest now."""
        while not self._ended:
            self._write_band()

    def _write_next(self) -> None:
        if not self._ended:
            self._write_band()
        if not self._ended:
            QTimer.singleShot(1, self._write_next)

    def _on_change(self, event: Any) -> None:
        """Note a refresh of the layer from another source, perhaps with other pixels."""
        self._foreign = self._foreign or not self._writing

    def _write_band(self) -> None:
        layer, patch = self._layer, self._patch
        if layer.data is not self._array:
            if not np.array_equal(layer.data, self._array):
                self._end(None)  # the layer got other pixels: do not write
                return
            self._array = layer.data  # converted to another type
        band = slice(self._next, self._next + BAND)
        self._next = min(band.stop, patch.where.size)
        last = self._next == patch.where.size
        shown = layer.visible
        # napari keeps no current slice of a hidden layer, and `data_setitem` writes into the slice
        # too: after a slider has moved it would miss it. No frame is drawn in between.
        self._writing = True
        set_visible(layer, True)
        try:
            if self._foreign and not self._is_unchanged(band.start):
                self._revert(band.start)
                self._end(WildsegError(CHANGED))
                return
            self._foreign = False
            values = patch.after[band].astype(layer.data.dtype)
            layer.data_setitem(self._where(band), values, refresh=last)
        except Exception as error:  # too little memory, most likely
            self._revert(self._next)
            self._end(error)
            return
        finally:
            set_visible(layer, shown)
            self._writing = False
        if last:
            self._end(None)

    def _is_unchanged(self, written: int) -> bool:
        """Whether the first pixels of the patch hold the result, and the others what was there."""
        now = np.asarray(self._array[self._plane.slices]).ravel()[self._patch.where]
        after, before = self._patch.after, self._patch.before
        return np.array_equal(now[:written], after[:written]) and np.array_equal(
            now[written:], before[written:]
        )

    def _revert(self, written: int) -> None:
        """Restore the previous pixels, except those that another source changed."""
        # Through the history as well, so that neither undo nor redo writes half a result.
        for start in range(0, written, BAND):
            done = slice(start, min(start + BAND, written))
            where, patch = self._where(done), self._patch
            ours = self._array[where] == patch.after[done]
            before = patch.before[done].astype(self._array.dtype)[ours]
            self._layer.data_setitem(tuple(axis[ours] for axis in where), before)

    def _where(self, band: slice) -> tuple[NDArray[np.integer], ...]:
        """Indices of a band in the layer's array, as few bytes as hold them: napari keeps them."""
        where = self._patch.where[band]
        shape, index = self._array.shape, self._plane.index
        _, width = (n for n, i in zip(shape, index, strict=True) if i is None)
        small: type[np.integer] = np.int16 if max(shape) < 2**15 else np.int32
        rows, columns = np.divmod(where, where.dtype.type(width))
        return self._plane.expand(rows.astype(small), columns.astype(small))

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._open.close()
        self._done(error)
