"""File > Save and File > Open: label layers with names, colours, place and corrections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.annotation.provenance import KEY, Loaded, Provenance
from napari_wildseg.gui.controls.plain_text import raw
from napari_wildseg.gui.sample_data import LayerData

if TYPE_CHECKING:
    from napari_wildseg.io import LabelImage


def write_labels_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a layer of labels or objects in the format that the file name's ending says."""
    from napari_wildseg.gui.layers.object_layer import MARK
    from napari_wildseg.io import format_of, write_labels
    from napari_wildseg.io.formats.png import is_sidecar, sidecar_of
    from napari_wildseg.io.objects import write_objects

    origin = (meta.get("metadata") or {}).get(MARK)
    if origin is not None:
        objects = origin.object_image(np.asarray(data))
        return [str(p) for p in write_objects(path, objects, overwrite=True)]
    labels = layer_labels(data, meta)
    # napari asked about this file alone; the sidecar beside it may be anything.
    sidecar = sidecar_of(Path(path))
    beside = format_of(path).name in ("png", "yolo") and sidecar.exists()
    if beside and not is_sidecar(sidecar):
        raise InputError(
            f"{sidecar.name} is there already and belongs to something else: choose another name."
        )
    return [str(p) for p in write_labels(path, labels, overwrite=True)]


def layer_labels(data: Any, meta: dict[str, Any]) -> Any:
    """Return a label layer as a `LabelImage`."""
    from napari_wildseg.io import LabelImage

    values = np.asarray(data)
    known: dict[str, Any] = {"image": str(meta.get("name", ""))}
    origin = (meta.get("metadata") or {}).get(KEY)
    if isinstance(origin, (Provenance, Loaded)):
        known |= origin.known()
    corrections = known.get("corrections")
    if corrections is not None and corrections.shape != values.shape:
        known["corrections"] = None
    shown = {info.id: info for info in _classes_of(meta)}
    prompts = {info.id: info for info in known.pop("classes", ())}
    # What the layer shows counts; prompts, which no layer shows, are those known beside it.
    classes = [
        replace(info, prompts=prompts[info.id].prompts)
        if info.id in prompts and prompts[info.id].name == info.name
        else info
        for info in (shown or prompts).values()
    ]
    return LabelImage.from_array(values, classes, **known, **place_in_file(meta, values.ndim))


def place_in_file(meta: dict[str, Any], ndim: int) -> dict[str, Any]:
    """Return scale, place and unit of a layer as attributes of `LabelImage`."""
    from napari.utils.transforms import Affine

    scale = np.asarray(meta.get("scale", np.ones(ndim)), float)
    place = {"translate": np.asarray(meta.get("translate", np.zeros(ndim)), float)}
    given = {k: meta[k] for k in ("rotate", "shear") if meta.get(k) is not None}
    to_world = np.asarray(getattr(meta.get("affine"), "affine_matrix", meta.get("affine")))
    if to_world.ndim != 2:
        to_world = np.eye(ndim + 1)
    turn = np.eye(ndim + 1)
    # Turned and sheared after scaling, and only then moved.
    turn[:ndim, :ndim] = Affine(**given, ndim=ndim).linear_matrix
    if (scale <= 0).any():  # a mirrored axis
        turn[:ndim, :ndim] = turn[:ndim, :ndim] @ np.diag(np.where(scale < 0, -1.0, 1.0))
        scale = np.where(scale == 0, 1.0, np.abs(scale))
    units = [str(u) for u in meta.get("units") or ()][-2:]
    same = len(units) == 2 and units[0] == units[1]
    found: dict[str, Any] = {"scale": tuple(scale), "units": units[0] if same else "pixel"}
    if np.allclose(turn, np.eye(ndim + 1)):
        affine = to_world
        found["translate"] = tuple(place["translate"])
    else:
        move = np.eye(ndim + 1)
        move[:ndim, ndim] = place["translate"]
        affine = to_world @ move @ turn
    found["affine"] = tuple(map(tuple, affine.tolist()))
    return found


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a label file; None for files that are none of ours."""
    if isinstance(path, list):
        return None
    file = Path(path)
    if file.suffix.lower() == ".json" and not (labels_of_sidecar(file) or _is_coco(file)):
        return None
    if file.suffix.lower() == ".npz" and not _holds_labels(file):
        return None
    return read_labels_layer


def read_labels_layer(path: str) -> list[LayerData]:
    """Read a label file, or the one a sidecar belongs to, as a label layer."""
    from napari_wildseg.gui.layers.label_pair import LABELS_SUFFIX, PSEUDO_SUFFIX
    from napari_wildseg.gui.notices import warn
    from napari_wildseg.io import load_project
    from napari_wildseg.io.formats.ome_zarr import label_names
    from napari_wildseg.io.project import PROJECT_SUFFIX

    file = Path(path)
    if file.suffix.lower() == PROJECT_SUFFIX:
        project = load_project(file)
        name = project.labels.image or file.stem
        layers = [_layer(project.labels, name + LABELS_SUFFIX)]
        if project.pseudo_labels is not None:
            pseudo = project.labels.with_labels(project.pseudo_labels)
            pseudo = replace(pseudo, corrections=project.pseudo_corrections)
            layers.insert(0, _layer(pseudo, name + PSEUDO_SUFFIX, visible=False))
        return layers
    file = labels_of_sidecar(file) or file
    names: list[str | None] = [*(label_names(file) if file.is_dir() else [])]
    layers = []
    for label in names if len(names) > 1 else [None]:
        labels = read_as_shown(file, **({} if label is None else {"label": label}))
        for notice in labels.notices:
            warn(notice)
        layers.append(_layer(labels, label or file.stem))
    return layers


def read_as_shown(path: Path, **options: Any) -> LabelImage:
    """Read a label file as it lies over its picture in the window.

    napari shows pictures as they are stored, whatever their orientation says; so are labels here.
    """
    from napari_wildseg.io import read_labels

    return read_labels(path, value_255="guess", turn=False, **options)


def _layer(labels: Any, name: str, *, visible: bool = True) -> LayerData:
    from napari_wildseg.gui.layers.label_pair import colours_and_features

    colours, features = colours_and_features(labels.classes)
    known = {k: getattr(labels, k) for k in ("image", "model", "settings", "corrections")}
    meta: dict[str, Any] = {
        "name": name,
        "scale": labels.scale,
        "translate": labels.translate,
        "units": tuple("pixel" if a == "t" else labels.units for a in labels.axes),
        "axis_labels": tuple(labels.axes),
        "colormap": colours,
        "features": features,
        "visible": visible,
        "metadata": {KEY: Loaded(labels.classes, known)},
    }
    if labels.affine is not None:
        meta["affine"] = np.array(labels.affine)
    return labels.labels, meta, "labels"


def labels_of_sidecar(path: Path) -> Path | None:
    """Return the label file that a sidecar describes, None if it is no sidecar of one."""
    from napari_wildseg.io.formats.png import is_sidecar

    if path.suffix.lower() != ".json" or not path.is_file() or not is_sidecar(path):
        return None
    beside = [path.with_suffix(ending) for ending in (".png", ".txt")]
    return next((file for file in beside if file.is_file()), None)


def _is_coco(path: Path) -> bool:
    text = _start(path, 64_000_000)
    return '"annotations"' in text and '"images"' in text and '"categories"' in text


def _start(path: Path, length: int = 4096) -> str:
    try:
        with path.open("rb") as file:
            return file.read(length).decode("utf-8", "replace")
    except OSError:
        return ""


def _holds_labels(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return "labels.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _classes_of(meta: dict[str, Any]) -> list[ClassInfo]:
    """Return the classes a label layer names in its features; any other layer names none."""
    features = meta.get("features")
    if features is None or not {"index", "class"} <= set(features):
        return []
    colours = getattr(meta.get("colormap"), "color_dict", {}) or {}
    classes = []
    for value, name in zip(features["index"], features["class"], strict=True):
        number, text = int(value), raw(str(name)).strip()
        if not 1 <= number <= MAX_CLASSES or not text:
            continue
        rgba = colours.get(number)
        colour = class_colour(number)
        if rgba is not None:
            red, green, blue = (round(float(c) * 255) for c in rgba[:3])
            colour = (red, green, blue)
        classes.append(ClassInfo(number, text, (text,), colour))
    return classes
