"""File > Save and File > Open: label layers with class names, through the io room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_wildseg.engine.classes import ClassInfo, class_colour

LayerData = tuple[Any, dict[str, Any], str]


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a 2-D label layer as an indexed PNG with a JSON sidecar.

    Parameters
    ----------
    path : str
        Where; napari has asked whether an existing file may be replaced.
    data : array_like
        The labels.
    meta : dict
        The layer's attributes.

    Returns
    -------
    list of str
        The files written.
    """
    from napari_wildseg.io import LabelImage, write_labels

    scale = [abs(float(s)) for s in meta.get("scale", (1.0, 1.0))][-2:]
    unit = str(next(iter(meta.get("units") or ()), "pixel"))
    labels = LabelImage.from_array(
        data,
        _classes_of(meta),
        scale=(scale[0], scale[1]),
        units=unit,
        image=str(meta.get("name", "")),
    )
    return [str(p) for p in write_labels(path, labels, overwrite=True)]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for the sidecar of an exported label image, None for any other JSON file."""
    if isinstance(path, list) or not Path(path).with_suffix(".png").is_file():
        return None
    return read_labels_layer


def read_labels_layer(path: str) -> list[LayerData]:
    """Read an exported label image, named by its sidecar or its PNG, as a label layer."""
    from napari_wildseg.gui.layers import colours_and_features
    from napari_wildseg.io import read_labels

    picture = Path(path).with_suffix(".png")
    labels = read_labels(picture)
    colours, features = colours_and_features(labels.classes)
    return [
        (
            labels.labels,
            {
                "name": picture.stem,
                "scale": labels.scale,
                "units": (labels.units, labels.units),
                "colormap": colours,
                "features": features,
            },
            "labels",
        )
    ]


def _classes_of(meta: dict[str, Any]) -> list[ClassInfo]:
    """Return the classes a label layer names in its features; any other layer names none."""
    features = meta.get("features")
    if features is None or not {"index", "class"} <= set(features):
        return []
    colours = getattr(meta.get("colormap"), "color_dict", {}) or {}
    classes = []
    for value, name in zip(features["index"], features["class"], strict=True):
        number, text = int(value), str(name).strip()
        if not 1 <= number <= 254 or not text:
            continue
        rgba = colours.get(number)
        colour = class_colour(number)
        if rgba is not None:
            red, green, blue = (round(float(c) * 255) for c in rgba[:3])
            colour = (red, green, blue)
        classes.append(ClassInfo(number, text, (text,), colour))
    return classes
