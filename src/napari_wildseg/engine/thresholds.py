"""Numbers from 0 to 1: the line between present and not, and those that callers give."""

from __future__ import annotations

from napari_wildseg.engine.errors import InputError

CUT = 0.5
"""Names that `napari_wildseg.engine.tagging` scores with at least this are taken to be in the
image."""


def checked_threshold(value: float, name: str = "threshold") -> float:
    """Return a number from 0 to 1, or say what is wrong with it.

    Parameters
    ----------
    value : float
        The number.
    name : str
        What it is called, for the message.

    Raises
    ------
    InputError
        If it is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise InputError(f"The {name} is {value}: give a number from 0 to 1.")
    return float(value)
