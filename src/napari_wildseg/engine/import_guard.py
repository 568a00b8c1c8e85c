"""Keeps one library out of the process that would crash it.

PyTorch's Linux wheels bring triton, whose library holds a copy of LLVM. Mesa, which draws the
canvas wherever there is no driver of the maker's own (software rendering, AMD, Intel), loads
another LLVM. Importing triton after a canvas was drawn then ends the process with a segmentation
fault (triton 3.8, Mesa 22.3, seen on Debian 12), and importing torchvision imports triton.
Nothing here needs it: it compiles kernels for graphics cards. PyTorch takes its absence well.

It is called before anything of ours imports open_clip, which imports torchvision: in the dock
widget, in napari's console, in a script.
"""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def keep_out_triton() -> bool:
    """Make ``import triton`` fail instead of crash, where it would crash."""
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
