"""What an annotator does at the desk of `conftest.py`, and the names most tests type."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

NAMES = "cup of coffee, spoon, table"


def wrong_spot(layer, label, size=12):
    """Return a spot whose neighbourhood is not labelled so."""
    far = np.argwhere(layer.data != label)
    inside = (far >= size).all(1) & (far < np.array(layer.data.shape) - size).all(1)
    return tuple(int(i) for i in far[inside][len(far[inside]) // 3])


def paint(layer, spot, label, size=9):
    """Paint a dab the way the brush does; returns the pixels it covers."""
    before = layer.data.copy()
    layer.mode = "paint"
    layer.brush_size = size
    with layer.block_history():
        layer.paint(spot, label)
    return before != layer.data


def stroke(viewer, layer, path, button=1):
    """Drag the mouse over a layer the way napari hands it on."""
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    event = SimpleNamespace(
        type="mouse_press",
        position=tuple(layer.data_to_world(path[0])),
        view_direction=None,
        dims_displayed=list(viewer.dims.displayed),
        dims_point=list(viewer.dims.point),
        is_dragging=False,
        modifiers=[],
        button=button,
        pos=np.zeros(2),
        inverted=False,
    )
    mouse_press_callbacks(layer, event)
    for spot in path[1:]:
        event.type, event.is_dragging = "mouse_move", True
        event.position = tuple(layer.data_to_world(spot))
        mouse_move_callbacks(layer, event)
    event.type, event.is_dragging = "mouse_release", False
    mouse_release_callbacks(layer, event)
