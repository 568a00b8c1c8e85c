"""Imports what the model needs, on the worker thread."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from napari_wildseg.engine.import_guard import keep_out_triton
from napari_wildseg.engine.progress import Progress, Steps

MODULES = ("torch", "open_clip", "napari_wildseg.engine.segmenter")
"""What a first Auto-segment needs and no earlier moment does."""


def import_steps(names: Sequence[str] = MODULES) -> Steps[None]:
    """Import what is not imported yet; yields before each."""
    missing = [name for name in names if name not in sys.modules]
    for number, name in enumerate(missing):
        yield Progress(number, len(missing), "Loading the libraries")
        keep_out_triton()
        importlib.import_module(name)
