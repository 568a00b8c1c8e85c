"""Imports open_clip without PyTorch's compiler, in processes that are the project's own.

Two modules that open_clip imports name ``torch._dynamo`` at import: `torchvision.ops` and `timm`.
So does PyTorch at the first arithmetic on the device "meta". The compiler is a third of what an
import of open_clip loads (two of six seconds where measured), and nothing here uses it. In the
command line and the engine process (`allow`), a stand-in module takes its name during the import;
it knows the two functions that are asked for and imports the real module for anything else. In any
other process, such as napari or a notebook, open_clip is imported as it is.
"""

from __future__ import annotations

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
    """Let open_clip be imported without the compiler: this process is the project's own."""
    global _allowed
    _allowed = True


class _StandIn(ModuleType):
    """A module that is imported when it is asked for something that is not in its dictionary."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks through all modules asks for `__file__`
            raise AttributeError(name)
        _take_down()
        return getattr(importlib.import_module(self.__name__), name)


class _OtherParts(MetaPathFinder, Loader):
    """Has the compiler imported when a part of it is wanted that has no stand-in."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Import the part, with all that belongs to it."""
        if not fullname.startswith(f"{_COMPILER}.") or not _take_down():
            return None
        importlib.import_module(fullname)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return what was imported."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def import_open_clip() -> ModuleType:
    """Import open_clip, if that was not done, without crashing beside Mesa.

    Returns
    -------
    module
        open_clip.
    """
    keep_out_triton()
    with without_compiler():
        return importlib.import_module("open_clip")


@contextmanager
def without_compiler() -> Iterator[None]:
    """Have what only names PyTorch's compiler not load it meanwhile.

    Nothing is done where it was loaded before, or in a process of somebody else. A function that
    is marked as not to be compiled meanwhile stays as it is: it is compiled with its caller.
    """
    if not _allowed or _COMPILER in sys.modules:
        yield
        return
    compiler, utils = map(_StandIn, _PARTS)
    compiler.__dict__.update(__path__=[], utils=utils, disable=_disable)
    utils.__dict__.update(is_compile_supported=_is_compile_supported)
    sys.modules.update(zip(_PARTS, (compiler, utils), strict=True))
    others = _OtherParts()
    sys.meta_path.insert(0, others)
    try:
        yield
    finally:
        sys.meta_path.remove(others)
        _take_down()


def _take_down() -> bool:
    """Give the names back; whether stand-ins still had them."""
    there = [name for name in _PARTS if isinstance(sys.modules.get(name), _StandIn)]
    for name in there:
        del sys.modules[name]
    return bool(there)


def _disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
    """Stand in for `torch._dynamo.disable`: as a decorator, and as one with arguments."""
    return (lambda function: function) if fn is None else fn


def _is_compile_supported(device_type: str) -> bool:
    """Stand in for the function of this name: ask the real one when it is called."""
    answer: bool = importlib.import_module(_PARTS[1]).is_compile_supported(device_type)
    return answer
