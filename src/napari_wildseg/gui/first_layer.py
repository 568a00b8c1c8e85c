"""Importing this makes a label layer with class names, which needs no window.

With the first one napari and pandas import and look up what later ones find ready.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from napari.layers import Labels

with suppress(Exception):
    Labels(
        np.zeros((2, 2), np.uint8),
        colormap={None: "gray", 0: "transparent", 1: "red"},
        features={"index": [0, 1], "class": ["background", "first"]},
    )
