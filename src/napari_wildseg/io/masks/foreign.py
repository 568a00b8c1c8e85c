"""Label files of other programs: the meaning of 255, and rotation to upright."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import upright
from napari_wildseg.io.label_image import LabelImage

_VALUE_255 = ("unlabelled", "class")
"""Meanings of 255 in a file of another program."""


def foreign_labels(
    values: NDArray[Any],
    classes: Iterable[ClassInfo] = (),
    *,
    where: str,
    value_255: str | None = None,
    **about: Any,
) -> LabelImage:
    """Make a label image from the pixel values of another program's file.

    `values`: ``(H, W)`` or a stack, bool or integers.
    """
    if value_255 not in (None, "guess", *_VALUE_255):
        raise InputError(f'255 can mean {" or ".join(_VALUE_255)}, not "{value_255}".')
    classes = tuple(classes)
    top = int(values.max(initial=0)) if values.dtype.kind in "ui" else 0
    if top in (UNLABELLED, 65535):
        others = np.unique(values[values != top])
        alone = not classes and not others.any()
        if value_255 == "guess" and alone:
            value_255 = "class"
            note = f"{where} is a mask of 0 and {top}: {top} was read as class 1."
            about["notices"] = (*about.get("notices", ()), note)
        if value_255 is None and alone:
            raise InputError(
                f"{where} is a mask of 0 and {top}. {UNLABELLED} means unlabelled here, not a "
                "class: say which with value_255 (--value-255 class reads it as class 1, "
                "--value-255 unlabelled keeps it open)."
            )
        if value_255 == "class":
            if 1 in others or any(info.id == 1 for info in classes):
                raise InputError(
                    f"{where} has a class 1 already: 255 cannot be read as class 1, too."
                )
            values = np.where(values == top, 1, values)
        elif top == 65535 and value_255 == "unlabelled":
            values = np.where(values == top, UNLABELLED, values)
    return LabelImage.from_array(values, classes, **about)


def upright_labels(labels: LabelImage, orientation: int) -> LabelImage:
    """Rotate labels and corrections upright by an EXIF orientation (1 to 8)."""
    if orientation not in range(2, 9):
        return labels

    def turn(array: NDArray[Any]) -> NDArray[Any]:
        planes = np.moveaxis(array, (-2, -1), (0, 1))
        return np.ascontiguousarray(np.moveaxis(upright(planes, orientation), (0, 1), (-2, -1)))

    order = [*range(labels.labels.ndim)]
    if orientation >= 5:
        order[-2:] = order[:-3:-1]
    corrections = labels.corrections
    return replace(
        labels,
        labels=turn(labels.labels),
        corrections=None if corrections is None else turn(corrections),
        scale=tuple(labels.scale[i] for i in order),
        translate=tuple(labels.translate[i] for i in order),
    )


def refuse_value_255(value_255: str | None, where: str) -> None:
    """Raise `InputError` if ``value_255`` is ``"class"`` for a file that defines 255 itself."""
    if value_255 == "class":
        raise InputError(f"{where} says that 255 is unlabelled: it cannot be read as a class.")
