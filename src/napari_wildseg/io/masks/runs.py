"""Correction arrays as text: run lengths of each value in row-major order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError


def runs_of(corrections: NDArray[np.int16]) -> dict[str, str]:
    """Encode corrections as run lengths, for formats without an array for them.

    Examples
    --------
    >>> runs_of(np.int16([[-1, 2, 2], [-1, -1, 0]]))
    {'0': '5 1', '2': '1 2 3'}
    """
    flat = corrections.ravel()
    found = {}
    for value in np.unique(flat[flat >= 0]).tolist():
        borders = np.flatnonzero(np.diff(np.concatenate([[False], flat == value, [False]])))
        lengths = np.diff(np.concatenate([[0], borders, [flat.size]]))
        if lengths[-1] == 0:
            lengths = lengths[:-1]
        found[str(value)] = " ".join(map(str, lengths.tolist()))
    return found


def corrections_of_runs(runs: object, shape: tuple[int, ...], where: str) -> NDArray[np.int16]:
    """Decode run lengths of an untrusted file to corrections; ``shape`` int16."""
    wrong = InputError(f"{where}: its corrections are not run lengths of labels of this size.")
    if not isinstance(runs, dict) or len(runs) > MAX_CLASSES + 1:
        raise wrong
    size = int(np.prod(shape))
    out = np.full(size, -1, np.int16)
    for key, text in runs.items():
        lengths = _numbers(text)
        if lengths is None or not key.isdecimal() or not 0 <= int(key[:4]) <= MAX_CLASSES:
            raise wrong
        if int(lengths.sum()) != size:
            raise wrong
        chosen = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
        if (out[chosen] >= 0).any():
            raise wrong
        out[chosen] = int(key)
    return out.reshape(shape)


def _numbers(text: Any) -> NDArray[np.int64] | None:
    """Parse non-negative integers whose sum does not overflow; None if they are malformed."""
    if not isinstance(text, str):
        return None
    fields = text.split()
    if not fields or not all(len(f) <= 12 and f.isascii() and f.isdigit() for f in fields):
        return None
    numbers = np.array(fields, dtype=np.int64)
    # The integer sum must not overflow to a value that fits.
    return numbers if float(numbers.astype(float).sum()) < 1e15 else None
