"""The two label layers beside an image, through napari's public API."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.gui.controls.plain_text import plain, raw
from napari_wildseg.gui.layers.display import Plane, level_shape, serving_level, steps_of

PSEUDO_SUFFIX = " pseudo-labels"
LABELS_SUFFIX = " labels"

OPACITY = 0.5
"""Of new label layers: the edges of the image can be seen through them. napari's own is 0.7."""

_NEUTRAL = (0.5, 0.5, 0.5, 1.0)
_HIDDEN = (0.0, 0.0, 0.0, 0.0)


def place_of(
    image: Image, plane: Plane | None = None, shape: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """Return where a layer in the pixels of the segmented level belongs, as layer arguments.

    `shape`: ``(h, w)`` of what the layer holds, if its cells tile the plane and are not its pixels.
    """
    scale = np.asarray(image.scale, float)
    if image.multiscale:
        factors = np.asarray(image.downsample_factors)[serving_level(image)]
        scale = scale * factors[: image.ndim]
    translate = np.asarray(image.translate, float)
    if plane is not None:
        turn = Affine(scale=scale, rotate=image.rotate, shear=image.shear, ndim=image.ndim)
        steps = np.ones(image.ndim) if shape is None else steps_of(image, plane, shape)
        # The first cell's centre is not that of the first pixel, unless they are the same.
        first = [(s - 1) / 2 if i is None else i for s, i in zip(steps, plane.index, strict=True)]
        translate = translate + turn.linear_matrix @ np.asarray(first, float)
        scale = scale * steps
    return {
        "scale": scale,
        "translate": translate,
        "rotate": np.asarray(image.rotate),
        "shear": np.asarray(image.shear),
        "affine": Affine(affine_matrix=np.asarray(image.affine.affine_matrix)),
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def make_labels(
    image: Image,
    name: str,
    classes: Sequence[ClassInfo],
    *,
    hidden: frozenset[int] = frozenset(),
    data: NDArray[np.uint8] | None = None,
) -> Labels:
    """Return a label layer that lies exactly on an image, empty unless data is given."""
    shape = level_shape(image)
    if data is None or data.shape != shape:
        # zeros takes memory only where something is written: long stacks cost what was segmented.
        data = np.zeros(shape, np.uint8)
    colours, features = colours_and_features(classes, hidden)
    return Labels(
        data, name=name, colormap=colours, features=features, opacity=OPACITY, **place_of(image)
    )


def why_no_labels(image: Image) -> str:
    """Return why the two label layers of an image do not fit in memory; empty if they do."""
    shape = level_shape(image)
    try:
        np.empty((2, *shape), np.uint8)  # takes an address range and no memory
    except (MemoryError, ValueError):
        size = " x ".join(map(str, shape))
        return (
            f"There is no memory for labels of {size} pixels ({2 * math.prod(shape) / 1e9:,.0f} "
            "GB): open a part of the stack, or a coarser one."
        )
    return ""


def align(layer: Labels, image: Image) -> None:
    """Move a label layer to where its image is now."""
    for name, value in place_of(image).items():
        setattr(layer, name, value)


def apply_style(
    layer: Labels, classes: Sequence[ClassInfo], hidden: frozenset[int] = frozenset()
) -> None:
    """Apply names and colours of the classes to a label layer."""
    layer.colormap, layer.features = colours_and_features(classes, hidden)


def colours_and_features(
    classes: Sequence[ClassInfo], hidden: frozenset[int] = frozenset()
) -> tuple[dict[int | None, Any], dict[str, list[Any]]]:
    """Return what a label layer needs to show names and colours."""
    colours: dict[int | None, Any] = {None: _NEUTRAL, 0: _HIDDEN, UNLABELLED: _NEUTRAL}
    for info in classes:
        alpha = 0.0 if info.id in hidden else 1.0
        colours[info.id] = (*(c / 255 for c in info.colour), alpha)
    features: dict[str, list[Any]] = {
        "index": [0, *(info.id for info in classes), UNLABELLED],
        "class": ["background", *(plain(info.name) for info in classes), "not sure"],
    }
    return colours, features


def class_names(layer: Labels) -> Mapping[int, str]:
    """Return the names a label layer carries, by label value."""
    if not {"index", "class"} <= set(layer.features.columns):
        return {}
    names = map(raw, layer.features["class"])
    return dict(zip(layer.features["index"].astype(int), names, strict=True))


def read_plane(layer: Labels, plane: Plane) -> NDArray[np.integer]:
    """Return the pixels of a plane, a view where the layer holds a NumPy array."""
    return np.asarray(layer.data[plane.slices])


def set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; napari slices it anew at every assignment, needed or not."""
    if layer.visible != visible:
        layer.visible = visible
