"""Thresholds: the cuts for suggested names, and a check of the callers' values."""

from collections.abc import Iterable

from napari_wildseg.engine.errors import InputError

PRESENT_SCORE = 0.5
"""Score from which a suggested name counts as found in the image; about four of five such names
are there (docs/development/suggestions.md)."""

PERHAPS_SCORE = 0.3
"""Score from which a name is perhaps in the image; somewhat less than half of those below
`PRESENT_SCORE` are."""

_USUAL_LENGTH = 37
"""Length of a vocabulary whose names keep their shares as scores; chosen by cross-validation."""

_LENGTHS = 10, 200
"""Shorter and longer vocabularies count as if they had so many names."""


def prior_odds(length: int) -> float:
    """Return the prior odds of a name of a vocabulary with ``length`` names, 1 at the usual length.

    An image shows a few names of a vocabulary, however long it is.
    """
    return _USUAL_LENGTH / min(max(length, _LENGTHS[0]), _LENGTHS[1])


def scale_odds(probability: float, odds: float) -> float:
    """Return a probability with its odds multiplied."""
    return probability * odds / (probability * odds + 1 - probability)


def vocabulary_scores(shares: Iterable[tuple[str, float]], length: int) -> list[tuple[str, float]]:
    """Return the scores of names from a vocabulary with ``length`` names, given their shares."""
    odds = prior_odds(length)
    return [(name, scale_odds(share, odds)) for name, share in shares]


def checked_threshold(value: float, name: str = "threshold") -> float:
    """Return a number from 0 to 1; raise `InputError` for anything else."""
    try:
        number = float("nan") if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise InputError(f"The {name} is {value!r}: give a number from 0 to 1.")
    return number
