"""Selecting layers in the 3-D view, where napari's status bar may raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


@contextmanager
def no_status(viewer: Viewer) -> Iterator[None]:
    """Select layers without napari's reading what is under the mouse.

    When a layer is selected, napari writes the label under the mouse into its status bar. In the
    3-D view it needs the direction of view, and has none until the mouse has moved: for a label
    layer with features it raises (napari 0.9.2), out of whoever selected the layer.
    """
    over = viewer.mouse_over_canvas and viewer.dims.ndisplay == 3
    if over:
        viewer.mouse_over_canvas = False
    try:
        yield
    finally:
        if over:
            viewer.mouse_over_canvas = True


def add_beside(viewer: Viewer, layer: Layer) -> None:
    """Add a layer without changing which layer is active, if one is."""
    active = viewer.layers.selection.active
    with no_status(viewer):
        viewer.add_layer(layer)
        if active is not None:
            viewer.layers.selection.active = active


def select(viewer: Viewer, layer: Layer) -> None:
    """Make a layer the active one."""
    with no_status(viewer):
        viewer.layers.selection.active = layer
