"""The annotator's corrections, kept apart from the automatic labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

NOT_CORRECTED = -1


def keep_corrections(
    labels: NDArray[np.uint8], corrections: NDArray[np.int16] | None
) -> NDArray[np.uint8]:
    """Write the corrections over the labels, in place.

    `labels`: ``(H, W)`` uint8; `corrections`: ``(H, W)`` int16, -1 = not corrected.
    """
    if corrections is not None:
        np.copyto(labels, corrections, where=corrections != NOT_CORRECTED, casting="unsafe")
    return labels


def checked_corrections(
    corrections: Any, shape: tuple[int, int], ids: Sequence[int]
) -> NDArray[np.int16]:
    """Check a correction map against the image and its classes.

    `corrections`: ``(H, W)`` integers: -1 not corrected, 0 background, else a class id.
    `shape`: ``(H, W)`` of the image. Returns ``(H, W)`` int16.
    """
    array = np.asarray(corrections)
    if array.shape != tuple(shape):
        raise InputError(
            f"The corrections have shape {array.shape}, the image {tuple(shape)}: "
            "they must be the same."
        )
    if array.dtype.kind not in "iu":
        raise InputError(f"The corrections are of type {array.dtype}: give whole numbers.")
    known = np.isin(array, [NOT_CORRECTED, 0, *ids])
    if not known.all():
        value = int(array[~known].min())
        raise InputError(
            f"The corrections hold {value}, which is neither -1 (not corrected), "
            "0 (background) nor the id of a class."
        )
    return array.astype(np.int16)
