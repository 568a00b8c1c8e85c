"""Selecting layers in the 3-D view, where napari's status bar may raise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

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


def bring_into_view(
    viewer: Viewer, layer: Layer, first: Sequence[float], last: Sequence[float]
) -> None:
    """Bring the part of a layer between two corners to the middle of the 2-D view.

    `first`, `last`: a coordinate for each axis of the layer, in pixels.
    """
    shown = list(viewer.dims.displayed)
    own = [axis - (viewer.dims.ndim - layer.ndim) for axis in shown]
    low, high = (np.asarray(layer.data_to_world(end))[own] for end in (first, last))
    extent = viewer.layers.extent.world[:, shown]
    viewer.reset_view()
    # The part takes a quarter of the view, and a speck is shown with its surroundings.
    step = np.abs(np.asarray(layer.scale)[own])
    wanted = np.maximum(4 * np.abs(high - low), 60 * step)
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9, or before
    camera.zoom *= max(1.0, float(np.min((extent[1] - extent[0]) / wanted)))
    camera.center = (0.0, *((low + high) / 2))
