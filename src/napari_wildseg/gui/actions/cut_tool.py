"""The tool *Cut*: an eraser of a few pixels that divides objects."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Labels
from psygnal import Signal

from napari_wildseg.gui.layers.selecting import select

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller

CUT_WIDTH = 3
"""Brush size of the tool, in pixels."""


class CutTool:
    """The cut tool; it keeps mode and brush of the layer to restore them."""

    changed = Signal(bool)
    """The tool was activated or deactivated."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._layer: weakref.ref[Labels] | None = None
        self._mode, self._brush = "pan_zoom", 1.0

    @property
    def active(self) -> bool:
        """Whether the tool is active."""
        return self._layer is not None

    def activate(self, layer: Labels | None) -> None:
        """Activate the tool in a layer of objects, if there is one."""
        if layer is not None and self._layer is None:
            select(self._controller.viewer, layer)
            self._mode, self._brush = str(layer.mode), float(layer.brush_size)
            layer.mode, layer.brush_size = "erase", CUT_WIDTH
            self._layer = weakref.ref(layer)
            self._controller.status.emit("Draw across an object, from edge to edge, to divide it.")
        self.changed.emit(self.active)

    def deactivate(self) -> None:
        """Deactivate the tool and restore mode and brush of the layer."""
        layer = None if self._layer is None else self._layer()
        self._layer = None
        if layer is not None:
            layer.brush_size = self._brush
            if str(layer.mode) == "erase":
                layer.mode = self._mode if self._mode != "erase" else "pan_zoom"
        self.changed.emit(False)

    def on_layer_changed(self, layer: Labels | None) -> None:
        """Deactivate the tool unless this layer is being cut."""
        if self._layer is not None and self._layer() is not layer:
            self.deactivate()

    def on_mode_changed(self, mode: str) -> None:
        """Deactivate the tool if the annotator chose another mode; panning keeps it."""
        if self._layer is not None and mode not in ("erase", "pan_zoom"):
            self.deactivate()
