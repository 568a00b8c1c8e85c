"""Labels of large images and stacks, written tile by tile to OME-Zarr (NGFF 0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io.formats.ngff_writer import (
    CHUNK,
    SMALLEST_LEVEL,
    classes_label,
    label_group,
    multiscale,
    new_level,
)
from napari_wildseg.io.label_image import description_of, settings_of

if TYPE_CHECKING:
    from napari_wildseg.engine.large import LargeResult
    from napari_wildseg.engine.result import Result

_NAME = "wildseg"


@dataclass
class _LabelsOnDisk:
    """Labels that are being written, and how they were made."""

    array: Any  # uint8, all 0 at first; written by slices
    model: str = ""  # model string; written to the metadata at the end
    # How the labels were made; written to the metadata at the end.
    settings: dict[str, Any] = field(default_factory=dict)

    def set_origin(self, result: Result | LargeResult) -> None:
        """Set model and settings from a result."""
        self.model, self.settings = result.model, settings_of(result)


@contextmanager
def labels_on_disk(
    path: str | Path,
    shape: Sequence[int],
    classes: Sequence[ClassInfo],
    *,
    axes: str = "yx",
    scale: Sequence[float] = (1.0, 1.0),
    units: str = "pixel",
    image: str = "",
    overwrite: bool = False,
) -> Iterator[_LabelsOnDisk]:
    """Yield an array to write labels to; pyramid levels and metadata are written afterwards.

    `shape`: ``(H, W)``, or with axes of planes before them.
    """
    shape = tuple(int(n) for n in shape)
    sizes = [*[1.0] * (len(shape) - 2), *map(float, scale)]
    with label_group(path, _NAME, overwrite=overwrite) as (_, own):
        written = _LabelsOnDisk(new_level(own, 0, shape, "uint8"))
        yield written
        factors = _add_levels(own, written.array)
        own.attrs["multiscales"] = [  # planes of a stack have no known distance
            multiscale(image or _NAME, axes, factors, sizes, units, measured="yx")
        ]
        own.attrs["image-label"] = classes_label(classes)
        made: dict[str, Any] = {"model": written.model, "settings": dict(written.settings)}
        if len(shape) == 2:
            made = {"scale": list(scale), "units": units, **made}
            own.attrs[_NAME] = description_of(shape, classes, image=image, **made)
        else:
            own.attrs["made with"] = made


def _add_levels(group: Any, finest: Any) -> list[int]:
    """Write the coarser pyramid levels strip by strip; return the factor of each level."""
    factors, above = [1], finest
    while max(above.shape[-2:]) > SMALLEST_LEVEL:
        shape = (*above.shape[:-2], *(-(-n // 2) for n in above.shape[-2:]))
        level = new_level(group, len(factors), shape, "uint8")
        for index in np.ndindex(shape[:-2]):
            for top in range(0, shape[-2], CHUNK):
                rows = slice(2 * top, min(2 * (top + CHUNK), above.shape[-2]))
                picked = np.asarray(above[(*index, rows)])[::2, ::2]
                level[(*index, slice(top, top + picked.shape[0]))] = picked
        factors.append(factors[-1] * 2)
        above = level
    return factors
