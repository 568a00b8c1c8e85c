"""Writing of OME-Zarr (NGFF 0.4): a label image with its pyramid and metadata, or a picture."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io.atomic import atomic_folder
from napari_wildseg.io.label_image import LabelImage

NGFF = "0.4"
CHUNK = 1024
SMALLEST_LEVEL = 1024
"""A pyramid ends with the first level whose sides are no longer than this."""
_KINDS = {"t": "time", "c": "channel", "p": "channel"}


@contextmanager
def label_group(path: str | Path, name: str, *, overwrite: bool) -> Iterator[tuple[Any, Any]]:
    """Yield the root of a new OME-Zarr and the group of a label image in it."""
    import zarr

    with atomic_folder(path, overwrite=overwrite) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=2)
        group = root.create_group("labels")
        group.attrs["labels"] = [name]
        yield root, group.create_group(name)


def new_level(group: Any, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Create the array of one level of a pyramid."""
    return group.create_array(
        str(number),
        shape=shape,
        chunks=(*[1] * (len(shape) - 2), *(min(CHUNK, n) for n in shape[-2:])),
        dtype=dtype,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def write_levels(group: Any, array: NDArray[Any], *, smooth: bool) -> list[int]:
    """Write a pyramid of halved levels; return the factor of each."""
    factors = [1]
    while max(array.shape[-2:]) // factors[-1] > SMALLEST_LEVEL:
        factors.append(factors[-1] * 2)
    for number, factor in enumerate(factors):
        level = _mean(array, factor) if smooth else array[..., ::factor, ::factor]
        new_level(group, number, level.shape, level.dtype)[...] = level
    return factors


def _mean(array: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average blocks of a channel-first picture; incomplete blocks are dropped."""
    if factor == 1:
        return array
    height, width = (n // factor * factor for n in array.shape[-2:])
    blocks = array[..., :height, :width].reshape(
        *array.shape[:-2], height // factor, factor, width // factor, factor
    )
    mean = blocks.mean(axis=(-3, -1))
    return np.asarray((mean.round() if array.dtype.kind in "ui" else mean).astype(array.dtype))


def multiscale(
    name: str,
    axes: str,
    factors: Sequence[int],
    scale: Sequence[float],
    units: str,
    *,
    translate: Sequence[float] | None = None,
    measured: str = "zyx",
    smooth: bool = False,
) -> dict[str, Any]:
    """Return the metadata of a pyramid; `smooth` if its pixels are block means of a picture.

    The axes in `measured` have the unit.
    """
    unit = {} if units == "pixel" else {"unit": units}
    levels = []
    for number, factor in enumerate(factors):
        factor_of = [1] * (len(axes) - 2) + [factor] * 2
        sizes = [s * f for s, f in zip(scale, factor_of, strict=True)]
        # The mean of a block is centred on the block; a picked pixel keeps its position.
        middle = [s * (f - 1) / 2 * smooth for s, f in zip(scale, factor_of, strict=True)]
        place = [t + m for t, m in zip(translate or [0.0] * len(axes), middle, strict=True)]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [1.0] * smooth + sizes}]
        if any(place):
            steps.append({"type": "translation", "translation": [0.0] * smooth + place})
        levels.append({"path": str(number), "coordinateTransformations": steps})
    named = [
        {"name": a, "type": _KINDS.get(a, "space"), **(unit if a in measured else {})}
        for a in "c" * smooth + axes
    ]
    return {"version": NGFF, "name": name, "axes": named, "datasets": levels}


def multiscale_of(
    labels: LabelImage, factors: Sequence[int], *, smooth: bool = False
) -> dict[str, Any]:
    """Return the metadata of a pyramid of labels, or of the picture under them."""
    return multiscale(
        labels.image or "wildseg",
        labels.axes,
        factors,
        labels.scale,
        labels.units,
        translate=labels.translate,
        smooth=smooth,
    )


def image_label(
    entries: Iterable[tuple[int, Sequence[int], dict[str, Any]]], **more: Any
) -> dict[str, Any]:
    """Return the metadata of label values: value, colour and properties of each."""
    found = list(entries)
    return {
        "version": NGFF,
        "colors": [{"label-value": value, "rgba": [*rgb, 255]} for value, rgb, _ in found],
        "properties": [{"label-value": value, **properties} for value, _, properties in found],
        **more,
    }


def classes_label(classes: Iterable[ClassInfo], **more: Any) -> dict[str, Any]:
    """Return the metadata of labels of classes."""
    return image_label(
        ((c.id, c.colour, {"class": c.name, "prompts": list(c.prompts)}) for c in classes), **more
    )
