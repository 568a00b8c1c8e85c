"""Replacement of unlabelled pixels (255), for formats that have no such value."""

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.label_image import LabelImage

CHOICES = {
    "keep": "leave them unlabelled (255)",
    "background": "make them background",
    "nearest": "give them the nearest label",
}
"""Choices, with texts for menus."""


def fill_unlabelled(labels: LabelImage, how: str) -> LabelImage:
    """Replace unlabelled pixels by one of `CHOICES`.

    Examples
    --------
    >>> fill_unlabelled(LabelImage.from_array([[255, 255, 2]]), "nearest").labels.tolist()
    [[2, 2, 2]]
    """
    require(how, str, "choice for unlabelled pixels", f"one of {', '.join(CHOICES)}")
    if how not in CHOICES:
        raise InputError(f'Unlabelled pixels: choose from {", ".join(CHOICES)}, not "{how}".')
    if how == "keep" or not (labels.labels == UNLABELLED).any():
        return labels
    filled = labels.labels.copy()
    for plane in filled.reshape(-1, *filled.shape[-2:]):
        _fill(plane, nearest=how == "nearest")
    return labels.with_labels(filled)


def _fill(plane: NDArray[np.uint8], *, nearest: bool) -> None:
    """Replace the unlabelled pixels of one plane in place."""
    from scipy import ndimage

    missing = plane == UNLABELLED
    if nearest and not missing.all():
        rows, columns = ndimage.distance_transform_edt(
            missing, return_distances=False, return_indices=True
        )
        plane[missing] = plane[rows[missing], columns[missing]]
    else:
        plane[missing] = 0
