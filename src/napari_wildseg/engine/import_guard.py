"""Prevents a crash of triton beside Mesa.

PyTorch's Linux wheels depend on triton, whose library contains a copy of LLVM. Mesa (software
rendering, AMD and Intel drivers) loads another LLVM to draw napari's canvas. Importing triton
after a canvas was drawn ends the process with a segmentation fault (triton 3.8, Mesa 22.3, seen
on Debian 12). Importing torchvision imports triton. Triton compiles kernels for graphics cards;
nothing in this package needs it, and PyTorch works without it.

The guard is called before this package imports open_clip, which imports torchvision: in the dock
widget, in napari's console, in a script.
"""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def keep_out_triton() -> bool:
    """Make ``import triton`` fail if Mesa's LLVM is loaded; return whether it is blocked."""
    if "triton" in sys.modules:
        return sys.modules["triton"] is None
    if not sys.platform.startswith("linux"):
        return False
    try:
        loaded = "libLLVM" in _MAPS.read_text()
    except OSError:
        return False
    if loaded:
        sys.modules["triton"] = None  # type: ignore[assignment]
    return loaded
