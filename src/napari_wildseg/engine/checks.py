"""Type checks of arguments, with error messages for the annotator."""

import os
from pathlib import Path
from typing import Any

from napari_wildseg.engine.errors import InputError


def require(value: object, kind: type | tuple[type, ...], name: str, wanted: str) -> None:
    """Raise `InputError` unless a value is of the given type."""
    if not isinstance(value, kind):
        shown = " ".join(repr(value).split())
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise InputError(f"The {name} is {shown}: give {wanted}.")


def checked_path(value: Any, name: str = "path") -> Path:
    """Return the value as a `Path`; raise `InputError` if it is no path."""
    require(value, (str, os.PathLike), name, "a path")
    return Path(value)
