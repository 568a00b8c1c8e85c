"""Imports open_clip without PyTorch's compiler, in processes that are the project's own.

Two modules that open_clip imports refer to ``torch._dynamo``: `torchvision.ops` and `timm`. PyTorch
does so at the first arithmetic on the device "meta". The compiler is a third of what an import of
open_clip loads (two of six seconds, measured), and nothing here uses it. In the command line and
the engine process (`allow`), a placeholder module takes its name during the import. It provides
the two functions that are needed and imports the real module for any other attribute. In any other
process, such as napari or a notebook, open_clip is imported unchanged.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from napari_wildseg.engine.import_guard import keep_out_triton

_COMPILER = "torch._dynamo"
_PARTS = (_COMPILER, f"{_COMPILER}.utils")

_allowed = False


def allow() -> None:
    """Allow imports of open_clip without the compiler: this process is the project's own."""
    global _allowed
    _allowed = True


class _Placeholder(ModuleType):
    """A placeholder that imports the real module when any other attribute is read."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # code that scans `sys.modules` reads `__file__`
            raise AttributeError(name)
        _remove_placeholders()
        return getattr(importlib.import_module(self.__name__), name)


class _SubmoduleFinder(MetaPathFinder, Loader):
    """Finder that imports the real compiler when one of its other submodules is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Import the real submodule if placeholders are in place."""
        if not fullname.startswith(f"{_COMPILER}.") or not _remove_placeholders():
            return None
        importlib.import_module(fullname)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the imported module."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module has been executed."""


def import_open_clip() -> ModuleType:
    """Import open_clip without triton where it would crash beside Mesa."""
    keep_out_triton()
    with without_compiler():
        return importlib.import_module("open_clip")


@contextmanager
def without_compiler() -> Iterator[None]:
    """Context in which imports that refer to PyTorch's compiler do not load it.

    It has no effect if the compiler is loaded, or unless `allow` was called. Functions that are
    decorated with ``torch._dynamo.disable`` inside it are not excluded from later compilation.
    """
    if not _allowed or _COMPILER in sys.modules:
        yield
        return
    compiler, utils = map(_Placeholder, _PARTS)
    compiler.__dict__.update(__path__=[], utils=utils, disable=_disable)
    utils.__dict__.update(is_compile_supported=_is_compile_supported)
    sys.modules.update(zip(_PARTS, (compiler, utils), strict=True))
    others = _SubmoduleFinder()
    sys.meta_path.insert(0, others)
    try:
        yield
    finally:
        sys.meta_path.remove(others)
        _remove_placeholders()


def _remove_placeholders() -> bool:
    """Remove the placeholders; return whether there were any."""
    placed = [name for name in _PARTS if isinstance(sys.modules.get(name), _Placeholder)]
    for name in placed:
        del sys.modules[name]
    return bool(placed)


def _disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
    """Placeholder for `torch._dynamo.disable`, with and without arguments."""
    return (lambda function: function) if fn is None else fn


def _is_compile_supported(device_type: str) -> bool:
    """Placeholder that calls the real function of this name."""
    answer: bool = importlib.import_module(_PARTS[1]).is_compile_supported(device_type)
    return answer
