"""Importing this works out what vispy keeps about dashed lines, which needs no window.

napari gives every label layer the outline of a polygon tool. With the first one vispy computes its
thirteen patterns of dashes (0.1 s) and keeps them. Should vispy change, this does nothing.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

with suppress(Exception):
    importlib.import_module("vispy.visuals.line.dash_atlas").DashAtlas()
