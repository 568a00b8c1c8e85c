"""Gives memory of removed layers back that no garbage collection looks at any more.

See `garbage.py`. Models are loaded after things were set aside, and freed as ever. Layers may have
been there before: when those that were removed come to `LIMIT`, and are still in memory at a moment
of rest, all is looked through once. Those that were removed before the widget was first shown are
found at the first such moment, since opening the widget is what somebody waits for. What there is
to look at is listed before: PyTorch, once it is imported, makes the list take three times as long.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_wildseg.gui import garbage
from napari_wildseg.gui.idle import Hands
from napari_wildseg.gui.painting import TURN

if TYPE_CHECKING:
    from napari import Viewer

LIMIT = 128_000_000
"""Bytes of removed layers for which all is looked through."""

REST = 3.0
"""Seconds without mouse and keyboard before that: it takes 0.4 s."""

SHORT_REST = 0.5
"""Before layers are found that were removed earlier; getting ready waits twice as long."""


class Keeper:
    """Has things set aside for a widget, and looked through when it is worth it.

    Parameters
    ----------
    widget : QWidget
        The dock widget.
    viewer : napari.Viewer
        The viewer whose layers may be removed.
    working : callable
        Whether a run is under way.
    """

    def __init__(self, widget: QWidget, viewer: Viewer, *, working: Callable[[], bool]) -> None:
        self._widget, self._working = widget, working
        self._removed: WeakKeyDictionary[Layer, int] = WeakKeyDictionary()
        """Layers that were removed and are in memory still, and how many bytes each."""
        self._hands: Hands | None = None
        self._shown = False
        self._earlier = True
        """Whether layers that were removed earlier are still to be found."""
        self._pieces: Iterator[list[Any]] = iter(())
        self._found: list[Any] = []
        self._search = QTimer(widget)
        self._search.setInterval(TURN)
        self._search.timeout.connect(self._find_removed)
        self._timer = QTimer(widget)
        self._timer.setInterval(200)
        self._timer.timeout.connect(self.look)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def due(self) -> bool:
        """Whether a moment of rest is waited for, to look through everything."""
        return self._hands is not None and self._too_much

    def start(self) -> None:
        """Set aside what there is, as the widget is shown; more than once is harmless."""
        if not self._shown:
            self._shown = True
            gc.collect(1)  # of what is young, quick
            if self._earlier:
                self._pieces = garbage.living(Layer, ViewerModel)
                next(self._pieces)
            garbage.begin(id(self))
            self._consider()

    def end(self) -> None:
        """Set nothing aside, as the widget is hidden: one that is closed must be collected."""
        self._wait_no_more()
        self._shown = False
        self._search.stop()
        self._pieces, self._found = iter(()), []  # which keep what they hold
        garbage.end(id(self))

    def look(self) -> None:
        """Look through everything if the hands rest and nothing runs."""
        if self._hands is None:
            return
        if self._working():
            self._hands.used()
        elif self._earlier:
            if not self._search.isActive() and self._hands.rest_for(SHORT_REST):
                self._search.start()
        elif self._hands.rest_for(REST):
            self._wait_no_more()
            gc.collect()  # quick, and enough for layers that came later
            if self._too_much:
                garbage.look_through()
            self._removed.clear()  # what is left is somebody's

    @property
    def _too_much(self) -> bool:
        return sum(self._removed.values()) >= LIMIT

    def _find_removed(self) -> None:
        """Find the layers that no viewer shows, over several turns of the event loop."""
        for piece in self._pieces:
            self._found += piece
            return
        self._search.stop()
        self._earlier = False
        found, self._found = self._found, []
        shown = {id(layer) for one in found if isinstance(one, ViewerModel) for layer in one.layers}
        for one in found:
            if isinstance(one, Layer) and id(one) not in shown:
                self._removed.setdefault(one, _size(one))
        if not self._too_much:
            self._wait_no_more()

    def _on_removed(self, event: Any) -> None:
        self._removed[event.value] = _size(event.value)
        self._consider()

    def _consider(self) -> None:
        if self._shown and (self._too_much or self._earlier) and self._hands is None:
            self._hands = Hands(self._widget)
            self._timer.start()

    def _wait_no_more(self) -> None:
        self._timer.stop()
        if self._hands is not None:
            self._hands.let_go()
            self._hands = None


def _size(layer: Layer) -> int:
    """Return how many bytes of memory the data of a layer takes."""
    data = layer.data
    levels = data if getattr(layer, "multiscale", False) else [data]
    return sum(level.nbytes for level in levels if isinstance(level, np.ndarray))
