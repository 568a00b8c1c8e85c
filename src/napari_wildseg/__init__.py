"""Type class names, get editable masks: open-vocabulary segmentation for napari.

Importing this package imports neither torch nor napari; the names below load what they
need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_wildseg.engine.classes import ClassInfo, parse_classes
    from napari_wildseg.engine.errors import InputError, WildsegError
    from napari_wildseg.engine.large import LargeImage, LargeSegmenter
    from napari_wildseg.engine.memory import ClassMemory
    from napari_wildseg.engine.refine import refine
    from napari_wildseg.engine.result import Result
    from napari_wildseg.engine.segmenter import Segmenter

    __version__: str

_HOME = {
    "ClassMemory": "napari_wildseg.engine.memory",
    "Segmenter": "napari_wildseg.engine.segmenter",
    "Result": "napari_wildseg.engine.result",
    "LargeImage": "napari_wildseg.engine.large",
    "LargeSegmenter": "napari_wildseg.engine.large",
    "refine": "napari_wildseg.engine.refine",
    "ClassInfo": "napari_wildseg.engine.classes",
    "parse_classes": "napari_wildseg.engine.classes",
    "WildsegError": "napari_wildseg.engine.errors",
    "InputError": "napari_wildseg.engine.errors",
}

__all__ = [
    "ClassInfo",
    "ClassMemory",
    "InputError",
    "LargeImage",
    "LargeSegmenter",
    "Result",
    "Segmenter",
    "WildsegError",
    "__version__",
    "parse_classes",
    "refine",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("napari-wildseg")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
