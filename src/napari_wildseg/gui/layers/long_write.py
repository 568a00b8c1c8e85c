"""Many changed pixels, written over several turns of the event loop, as one undo step.

napari takes about 20 ns to write a pixel and to note it in its history: a third of a second for
a plane of 4096 x 4096 pixels. So the pixels are written in bands, and between two bands the
window answers. Whatever would meet a half-written layer (a stroke, an undo, somebody who wants to
know the labels) has the rest written first, so that nobody ever sees one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_wildseg.gui.annotation.decisions import Patch
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import set_visible
from napari_wildseg.gui.painting import TURN

BAND = 1_000_000
"""Pixels that are written in one turn, some 20 ms."""

_MEETING = ("undo", "redo", "paint", "fill", "paint_polygon", "data_setitem")
"""Methods of a layer that have to find the whole result."""


class LongWrite:
    """Writes a patch into a plane of a label layer.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    plane : Plane
        Which plane of it.
    patch : Patch
        What changes.
    done : callable
        Called once, when all is written, with None, or with what went wrong; then every pixel is
        as it was.
    """

    def __init__(
        self,
        layer: Labels,
        plane: Plane,
        patch: Patch,
        done: Callable[[Exception | None], object],
    ) -> None:
        self._layer, self._plane, self._patch, self._done = layer, plane, patch, done
        self._array = layer.data
        self._next = 0
        self._open = ExitStack()
        self._ended = False
        self._own: dict[str, Any] | None = None

    def start(self, *, at_once: bool = False) -> None:
        """Write the first band, and the others in later turns of the event loop.

        Parameters
        ----------
        at_once : bool
            Write all of it now.
        """
        if not self._patch.where.size:
            self._end(None)
            return
        self._open.enter_context(self._layer.block_history())
        # A hidden layer must be shown while it is written to, and nobody is to see that.
        if at_once or not self._layer.visible or self._patch.where.size <= BAND:
            self.finish()
            return
        own = self._layer.__dict__
        self._own = {name: own[name] for name in _MEETING if name in own}
        for name in _MEETING:
            own[name] = partial(self._after, getattr(self._layer, name))
        self._turn()

    def finish(self) -> None:
        """Write the rest now."""
        while not self._ended:
            self._write_band()

    def _turn(self) -> None:
        if not self._ended:
            self._write_band()
        if not self._ended:
            QTimer.singleShot(TURN, self._turn)

    def _after(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.finish()
        return method(*args, **kwargs)

    def _write_band(self) -> None:
        layer, patch = self._layer, self._patch
        if layer.data is not self._array:
            if not np.array_equal(layer.data, self._array):
                self._end(None)  # somebody gave the layer other pixels: not ours to write to
                return
            self._array = layer.data  # converted to another type
        band = slice(self._next, self._next + BAND)
        self._next = min(band.stop, patch.where.size)
        last = self._next == patch.where.size
        shown = layer.visible
        # napari keeps no current slice of a hidden layer, and `data_setitem` writes into the slice
        # too: after a slider has moved it would miss it. No frame is drawn in between.
        set_visible(layer, True)
        try:
            values = patch.after[band].astype(layer.data.dtype)
            # The method of the class: that of the layer itself would have the rest written first.
            Labels.data_setitem(layer, self._where(band), values, refresh=last)
        except Exception as error:  # too little memory, most likely
            # Through the history as well, so that neither undo nor redo writes half a result.
            for start in range(0, self._next, BAND):
                done = slice(start, min(start + BAND, self._next))
                before = patch.before[done].astype(layer.data.dtype)
                Labels.data_setitem(layer, self._where(done), before)
            self._end(error)
            return
        finally:
            set_visible(layer, shown)
        if last:
            self._end(None)

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
        if self._own is not None:
            for name in _MEETING:
                self._layer.__dict__.pop(name, None)
            self._layer.__dict__.update(self._own)
        self._open.close()
        self._done(error)
