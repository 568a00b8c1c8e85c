"""Thresholds: the default cut for suggested names, and a check of the callers' values."""

from __future__ import annotations

from napari_wildseg.engine.errors import InputError

PRESENT_SCORE = 0.5
"""Score of `napari_wildseg.engine.names.tagging` from which a name counts as found in the image."""


def checked_threshold(value: float, name: str = "threshold") -> float:
    """Return a number from 0 to 1; raise `InputError` for anything else."""
    try:
        number = float("nan") if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise InputError(f"The {name} is {value!r}: give a number from 0 to 1.")
    return number
