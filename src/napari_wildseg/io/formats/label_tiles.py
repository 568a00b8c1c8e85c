"""Labels of large images and stacks, written tile by tile to OME-Zarr (NGFF 0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.io.atomic import atomic_folder
from napari_wildseg.io.label_image import (
    SIDECAR_FORMAT,
    SIDECAR_VERSION,
    classes_to_json,
    settings_of,
)

if TYPE_CHECKING:
    from napari_wildseg.engine.large import LargeResult
    from napari_wildseg.engine.result import Result

_NAME = "wildseg"
_CHUNK = 1024
_SMALLEST_LEVEL = 1024


@dataclass
class _LabelsOnDisk:
    """Labels that are being written, and how they were made."""

    array: Any  # uint8, all 0 at first; written by slices
    model: str = ""  # model string; written to the metadata at the end
    # How the labels were made; written to the metadata at the end.
    settings: dict[str, Any] = field(default_factory=dict)

    def made_by(self, result: Result | LargeResult) -> None:
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
    import zarr

    shape = tuple(int(n) for n in shape)
    with atomic_folder(path, overwrite=overwrite) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=2)
        group = root.create_group("labels")
        group.attrs["labels"] = [_NAME]
        own = group.create_group(_NAME)
        written = _LabelsOnDisk(_level(own, 0, shape))
        yield written
        factors = _add_levels(own, written.array)
        own.attrs["multiscales"] = [_multiscale(axes, factors, scale, units, image)]
        own.attrs["image-label"] = {
            "version": "0.4",
            "colors": [{"label-value": c.id, "rgba": [*c.colour, 255]} for c in classes],
            "properties": [
                {"label-value": c.id, "class": c.name, "prompts": list(c.prompts)} for c in classes
            ],
        }
        if len(shape) == 2:
            own.attrs[_NAME] = _about(shape, classes, written, scale, units, image)
        else:
            own.attrs["made with"] = {"model": written.model, "settings": written.settings}


def _level(group: Any, number: int, shape: tuple[int, ...]) -> Any:
    chunks = (*[1] * (len(shape) - 2), *(min(_CHUNK, n) for n in shape[-2:]))
    return group.create_array(
        str(number),
        shape=shape,
        chunks=chunks,
        dtype="uint8",
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _add_levels(group: Any, finest: Any) -> list[int]:
    """Write the coarser pyramid levels strip by strip; return the factor of each level."""
    factors, above = [1], finest
    while max(above.shape[-2:]) > _SMALLEST_LEVEL:
        shape = (*above.shape[:-2], *(-(-n // 2) for n in above.shape[-2:]))
        level = _level(group, len(factors), shape)
        for index in np.ndindex(shape[:-2]):
            for top in range(0, shape[-2], _CHUNK):
                rows = slice(2 * top, min(2 * (top + _CHUNK), above.shape[-2]))
                picked = np.asarray(above[(*index, rows)])[::2, ::2]
                level[(*index, slice(top, top + picked.shape[0]))] = picked
        factors.append(factors[-1] * 2)
        above = level
    return factors


def _multiscale(
    axes: str, factors: Sequence[int], scale: Sequence[float], units: str, image: str
) -> dict[str, Any]:
    unit = {} if units == "pixel" else {"unit": units}
    kinds = {"t": "time", "c": "channel", "p": "channel"}
    ones = [1.0] * (len(axes) - 2)
    return {
        "version": "0.4",
        "name": image or _NAME,
        "axes": [
            {"name": a, "type": kinds.get(a, "space"), **(unit if a in "yx" else {})} for a in axes
        ],
        "datasets": [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*ones, *(float(s) * factor for s in scale)]}
                ],
            }
            for number, factor in enumerate(factors)
        ],
    }


def _about(
    shape: tuple[int, ...],
    classes: Sequence[ClassInfo],
    written: _LabelsOnDisk,
    scale: Sequence[float],
    units: str,
    image: str,
) -> Mapping[str, Any]:
    """Return the dictionary of `LabelImage.about` without the labels in memory."""
    return {
        "format": SIDECAR_FORMAT,
        "version": SIDECAR_VERSION,
        "image": image,
        "image_size": {"height": shape[0], "width": shape[1]},
        "classes": classes_to_json(classes),
        "unlabelled": UNLABELLED,
        "scale": list(scale),
        "units": units,
        "model": written.model,
        "settings": dict(written.settings),
    }
