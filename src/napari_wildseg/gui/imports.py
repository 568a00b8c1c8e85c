"""Imports what the model needs, on the worker thread, with the window answering meanwhile.

Some things about the first import would hold the GUI thread up for a second or more:

* loading PyTorch's libraries (a gigabyte) keeps Python's lock; loaded through a foreign function
  call before, it does not;
* the many new objects set off garbage collections, one after the other;
* napari imports pandas and parts of scikit-image when the first label layer with class names is
  made, and vispy works out the dashes of its outlines, all on the GUI thread.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_wildseg.engine.import_guard import keep_out_triton
from napari_wildseg.engine.models.light_import import without_compiler
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui.garbage import set_aside
from napari_wildseg.gui.python_lock import giving_way_between_imports

MODULES = (
    "torch",
    "open_clip",
    "napari_wildseg.engine.segmenter",
    "pandas",
    "skimage.color.colorconv",
    "napari_wildseg.gui.dashes",
    "napari_wildseg.gui.first_layer",
)
"""What a first Auto-segment needs and no earlier moment does."""

LOADING = "Loading the libraries"


def pending(names: Sequence[str] = MODULES) -> list[str]:
    """Return those of the modules that are not imported yet."""
    return [name for name in names if name not in sys.modules]


def import_steps(names: Sequence[str] = MODULES) -> Steps[None]:
    """Import what is not imported yet; yields before each.

    Parameters
    ----------
    names : sequence of str
        The modules.
    """
    missing = pending(names)
    for number, name in enumerate(missing):
        yield Progress(number, len(missing), LOADING)
        keep_out_triton()
        with _uncollected(), giving_way_between_imports(), without_compiler():
            if name == "torch":
                _load_libraries_of_torch()
            importlib.import_module(name)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile: what an import makes stays.

    Afterwards it is set aside, before a collection has looked at it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        set_aside()
        if enabled:
            gc.enable()


def _load_libraries_of_torch() -> None:
    """Load PyTorch's shared libraries as its import would, without holding Python's lock.

    Where this does not work out (another system, another layout), the import does it as ever.
    """
    spec = importlib.util.find_spec("torch")
    if not sys.platform.startswith("linux") or spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    try:
        # A function called through ctypes runs without the lock; CDLL(path) would keep it.
        dlopen = ctypes.CDLL(None).dlopen
    except (OSError, AttributeError):
        return
    dlopen.restype = ctypes.c_void_p
    dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    # In the order and with the visibility of torch/__init__.py.
    for name, flags in (
        ("libtorch_global_deps.so", os.RTLD_NOW | os.RTLD_GLOBAL),
        ("libtorch.so", os.RTLD_NOW),
        ("libtorch_python.so", sys.getdlopenflags()),
    ):
        library = folder / name
        if not library.is_file() or not dlopen(os.fsencode(library), flags):
            return
