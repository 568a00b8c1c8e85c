"""Numbers from 0 to 1: the line between present and not, and those that callers give."""

from __future__ import annotations

from napari_wildseg.engine.errors import InputError

CUT = 0.5
"""Names that `napari_wildseg.engine.names.tagging` scores with at least this are taken to be in the
image."""


def checked_threshold(value: float, name: str = "threshold") -> float:
    """Return a number from 0 to 1, or say what is wrong with it."""
    try:
        number = float("nan") if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise InputError(f"The {name} is {value!r}: give a number from 0 to 1.")
    return number
