"""OME-Zarr labels (NGFF 0.4), with the colours and properties of ``image-label``."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.engine.pictures.picture_files import reason
from napari_wildseg.io.atomic import current_path
from napari_wildseg.io.description import labels_with_description
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.formats.ngff import attributes_of, plain_path, scale_and_translation
from napari_wildseg.io.formats.ngff_writer import (
    classes_label,
    label_group,
    multiscale_of,
    write_levels,
)
from napari_wildseg.io.label_image import AXES, LabelImage, classes_from_json
from napari_wildseg.io.masks.foreign import foreign_labels, refuse_value_255
from napari_wildseg.io.safety.zarr_checks import check_array

_NAME = "wildseg"


def write(
    path: Path, labels: LabelImage, *, overwrite: bool = False, picture: NDArray[Any] | None = None
) -> list[Path]:
    """Write ``<path>/labels/wildseg``, and the picture to ``path`` if it is given.

    `picture`: ``(H, W)`` or ``(H, W, C)``; written as a multiscale image with axes c, y, x.
    """
    with label_group(path, _NAME, overwrite=overwrite) as (root, own):
        if picture is not None:
            channels = picture[None] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
            levels = write_levels(root, channels, smooth=True)
            root.attrs["multiscales"] = [multiscale_of(labels, levels, smooth=True)]
        levels = write_levels(own, labels.labels, smooth=False)
        own.attrs["multiscales"] = [multiscale_of(labels, levels)]
        source = {} if picture is None else {"source": {"image": "../../"}}
        own.attrs["image-label"] = classes_label(labels.classes, **source)
        own.attrs[_NAME] = labels.about()
    return [path]


def read(
    path: Path, *, label: str | None = None, value_255: str | None = None, turn: bool = True
) -> LabelImage:
    """Read labels from an OME-Zarr folder (NGFF 0.4 or 0.5).

    ``path`` is an image with labels, its ``labels`` folder, or one label image. ``label`` names the
    label image if there are several. ``turn`` has no effect, since zarr stores no orientation.
    """
    values, attributes, level, first = stored_labels(path, label)
    path = current_path(path)
    if _NAME in attributes:
        refuse_value_255(value_255, path.name)
        return labels_with_description(values, attributes[_NAME], path.name)
    names = _axes(level, values.ndim, path.name)
    kept = [i for i, n in enumerate(values.shape) if n > 1 or names[i] in ("y", "x")]
    axes = "".join(names[i] for i in kept)
    if axes not in AXES:
        raise InputError(
            f'{path.name} has axes "{axes}": labels of one image (yx) or of a stack are wanted.'
        )
    return foreign_labels(
        values.reshape([values.shape[i] for i in kept]),
        _classes(attributes.get("image-label"), path.name),
        where=path.name,
        value_255=value_255,
        axes=axes,
        **_place(level, first, kept, names),
    )


def stored_labels(
    path: Path, label: str | None = None
) -> tuple[NDArray[Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Read the finest level of a label image: values, attributes, its multiscale and data set."""
    import zarr

    path = current_path(path)
    if not path.is_dir():
        raise InputError(f"{folder_error(path)}: check the name.")
    folder = _label_folder(path, label)
    attributes = attributes_of(folder)
    multiscales = attributes.get("multiscales")
    level = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    datasets = level.get("datasets") if isinstance(level, dict) else None
    first = datasets[0] if isinstance(datasets, list) and datasets else None
    if not isinstance(level, dict) or not isinstance(first, dict):
        raise InputError(f"{path.name} holds no label image that can be read.")
    array_folder = folder / plain_path(first.get("path"), path.name)
    check_array(array_folder, path.name)
    try:
        values = np.asarray(zarr.open_array(array_folder, mode="r")[...])
    except Exception as error:  # zarr raises many types for a damaged file
        raise InputError(f"{path.name} is damaged ({reason(error)}).") from error
    return values, attributes, level, first


def label_names(path: Path) -> list[str]:
    """Return the names of the label images in a folder; empty if it is itself a label image."""
    return _listed(path)[1]


def _listed(path: Path) -> tuple[Path, list[str]]:
    """Return the folder that lists label images, and their names."""
    for folder in (path, path / "labels"):
        attributes = attributes_of(folder)
        names = attributes.get("labels")
        if "image-label" in attributes:
            break
        if isinstance(names, list) and names:
            return folder, [plain_path(name, path.name) for name in names]
    return path, []


def _label_folder(path: Path, label: str | None) -> Path:
    """Return the folder of the chosen label image, at or below a path."""
    folder, names = _listed(path)
    if label is None and len(names) > 1:
        raise InputError(
            f"{path.name} holds {len(names)} label images ({_quoted(names)}): name one of them "
            "(convert --label), or give its folder."
        )
    if label is not None and label not in names:
        there = f"there are {_quoted(names)}" if names else "it holds one alone"
        raise InputError(f'{path.name} holds no label image "{label}": {there}.')
    return folder / (label or names[0]) if names else path


def _quoted(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _classes(entries: object, where: str) -> tuple[ClassInfo, ...]:
    """Read classes from ``image-label``; names are in the property "class" or "name"."""
    if not isinstance(entries, dict):
        return ()
    names: dict[int, str] = {}
    colours: dict[int, list[int]] = {}
    for entry in entries.get("properties") or []:
        if isinstance(entry, dict) and isinstance(entry.get("label-value"), int):
            name = entry.get("class", entry.get("name"))
            if isinstance(name, str) and name:
                names[entry["label-value"]] = name
    for entry in entries.get("colors") or []:
        if isinstance(entry, dict) and isinstance(entry.get("label-value"), int):
            rgba = entry.get("rgba")
            if isinstance(rgba, list) and len(rgba) == 4:
                colours[entry["label-value"]] = rgba[:3]
    values = sorted(v for v in {*names, *colours} if 1 <= v <= MAX_CLASSES)
    return classes_from_json(
        [
            {
                "id": v,
                "name": names.get(v, f"class {v}"),
                "colour": colours.get(v) or list(class_colour(v)),
            }
            for v in values
        ],
        where,
    )


def _axes(level: dict[str, Any], ndim: int, where: str) -> list[str]:
    """Return the names of the axes; before NGFF 0.3 they are t, c, z, y, x and not declared."""
    entries = level.get("axes")
    if entries is None:
        return list("tczyx"[-ndim:])
    names = [e.get("name") if isinstance(e, dict) else e for e in entries or []]
    if len(names) != ndim or not all(isinstance(n, str) and len(n) < 40 for n in names):
        raise InputError(f"{where}: its axes are not those of its labels.")
    return [str(n).lower() for n in names]


def _place(
    level: dict[str, Any], dataset: dict[str, Any], kept: list[int], names: list[str]
) -> dict[str, Any]:
    """Return scale, translation and unit of the kept axes; empty if there is no usable scale."""
    found = scale_and_translation(level, dataset, len(names))
    if found is None:
        return {}
    scale, move = ([values[i] for i in kept] for values in found)
    entries = level.get("axes")
    last = entries[-1] if isinstance(entries, list) and entries else None
    unit = last.get("unit") if isinstance(last, dict) else None
    return {
        "scale": tuple(scale),
        "translate": tuple(move),
        "units": unit if isinstance(unit, str) and 0 < len(unit) < 40 else "pixel",
    }


OME_ZARR_FORMAT = Format(
    "ome-zarr", "OME-Zarr labels", (".zarr",), read, write, stacks=True, masks=True
)
