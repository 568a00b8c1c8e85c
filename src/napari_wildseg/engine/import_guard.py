"""Prevents a crash of triton beside Mesa.

Versions: triton 3.8 (in PyTorch's Linux wheels since 2.9) with Mesa 22.3 (Debian 12). Triton's
library holds a copy of LLVM, Mesa loads another, and importing triton after a canvas was drawn
ends the process with a segmentation fault; importing torchvision imports triton. The window uses
an engine process and imports neither; this guard is for the Python API in napari's console or in
a script with a window. Delete it when triton hides its LLVM symbols. Report for triton:

    Title: Segmentation fault on import after Mesa's llvmpipe was loaded (two copies of LLVM)

    ``libtriton.so`` exports the symbols of the LLVM that is linked into it. If ``libLLVM-15.so``
    is already in the process (Mesa 22.3.6 with llvmpipe: any Qt program that has drawn with
    software OpenGL), ``import triton`` binds to it and crashes. To reproduce: draw a vispy or
    QOpenGLWidget canvas without a graphics driver, then ``import triton``. Expected: the symbols
    are local (``-Wl,--exclude-libs,ALL`` or a version script).
"""

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
