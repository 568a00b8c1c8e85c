"""What an annotator does at the desk of `conftest.py`, and the names most tests type."""

from __future__ import annotations

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
    layer.paint(spot, label)
    return before != layer.data
