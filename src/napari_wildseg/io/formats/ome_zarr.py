"""OME-Zarr labels (NGFF 0.4), with the colours and properties of ``image-label``."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import MAX_PIXELS, check_size, reason
from napari_wildseg.io.atomic import atomic_folder
from napari_wildseg.io.formats.base import Format
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.label_image import LabelImage, about_from_json, classes_from_json

_NAME = "wildseg"
_NGFF = "0.4"
_CHUNK = 1024
_SMALLEST_LEVEL = 256
# Decoding these runs no code of the file's. Others (pickle among them) are refused.
_CODECS = {"blosc", "zstd", "lz4", "gzip", "zlib", "bytes", "crc32c", "transpose", None}
_DEFLATE_LIMIT = 4_000_000
"""Longest stored chunk that is inflated, in bytes; deflate grows a thousandfold at most."""


def write(
    path: Path,
    labels: LabelImage,
    *,
    overwrite: bool = False,
    picture: NDArray[Any] | None = None,
) -> list[Path]:
    """Write ``<path>/labels/wildseg``, with the picture itself at ``path`` if it is given.

    Parameters
    ----------
    path : Path
        The folder, ending in ``.zarr``.
    labels : LabelImage
        What to write. Corrections are not kept by this format.
    overwrite : bool
        Whether an existing folder may be replaced.
    picture : ndarray, optional
        ``(H, W)`` or ``(H, W, C)``, written as a multiscale image with axes c, y, x.

    Returns
    -------
    list of Path
        The folder.
    """
    import zarr

    with atomic_folder(path, overwrite=overwrite) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=2)
        if picture is not None:
            channels = picture[None] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)
            scales = _write_levels(root, channels, smooth=True)
            root.attrs["multiscales"] = [_multiscale(labels, scales, "c")]
        group = root.create_group("labels")
        group.attrs["labels"] = [_NAME]
        own = group.create_group(_NAME)
        scales = _write_levels(own, labels.labels, smooth=False)
        own.attrs["multiscales"] = [_multiscale(labels, scales, "")]
        own.attrs["image-label"] = {
            "version": _NGFF,
            "colors": [
                {"label-value": info.id, "rgba": [*info.colour, 255]} for info in labels.classes
            ],
            "properties": [
                {"label-value": info.id, "class": info.name, "prompts": list(info.prompts)}
                for info in labels.classes
            ],
            **({"source": {"image": "../../"}} if picture is not None else {}),
        }
        own.attrs[_NAME] = labels.about()
    return [path]


def read(path: Path) -> LabelImage:
    """Read labels from an OME-Zarr folder of NGFF 0.4 or 0.5.

    Parameters
    ----------
    path : Path
        The folder of an image with labels (the first are taken), of its ``labels``, or of one
        label image.

    Raises
    ------
    InputError
        If there are no two-dimensional labels in it, or they are too large or not plain.
    """
    import zarr

    if not path.is_dir():
        raise InputError(f"There is no folder {path}: check the name.")
    folder = _label_folder(path)
    attributes = _attributes(folder)
    multiscales = attributes.get("multiscales")
    level = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    datasets = level.get("datasets") if isinstance(level, dict) else None
    first = datasets[0] if isinstance(datasets, list) and datasets else None
    if not isinstance(level, dict) or not isinstance(first, dict):
        raise InputError(f"{path.name} holds no label image that can be read.")
    array_folder = folder / _plain_path(first.get("path"), path.name)
    _check_array(array_folder, path.name)
    try:
        values = np.asarray(zarr.open_array(array_folder, mode="r")[...])
    except Exception as error:  # zarr raises what the damage happens to run into
        raise InputError(f"{path.name} is damaged ({reason(error)}).") from error
    values = values.reshape([n for n in values.shape if n > 1] if values.ndim > 2 else values.shape)
    if _NAME in attributes:
        about = about_from_json(attributes[_NAME], path.name, values.shape)
        return LabelImage.from_array(values, **about)
    classes = _classes(attributes.get("image-label"), path.name)
    return LabelImage.from_array(values, classes, **_scale(level, first))


def _write_levels(group: Any, array: NDArray[Any], *, smooth: bool) -> list[int]:
    """Write a pyramid of halved levels; gives the factor of each."""
    factors = [1]
    while max(array.shape[-2:]) // factors[-1] > _SMALLEST_LEVEL * 4:
        factors.append(factors[-1] * 2)
    for number, factor in enumerate(factors):
        level = _mean(array, factor) if smooth else array[..., ::factor, ::factor]
        chunks = (*[1] * (array.ndim - 2), *(min(_CHUNK, n) for n in level.shape[-2:]))
        stored = group.create_array(
            str(number),
            shape=level.shape,
            chunks=chunks,
            dtype=level.dtype,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        stored[...] = level
    return factors


def _mean(array: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average blocks of a channel-first picture; what does not fill a block is left out."""
    if factor == 1:
        return array
    height, width = (n // factor * factor for n in array.shape[-2:])
    blocks = array[..., :height, :width].reshape(
        *array.shape[:-2], height // factor, factor, width // factor, factor
    )
    mean = blocks.mean(axis=(-3, -1))
    return np.asarray((mean.round() if array.dtype.kind in "ui" else mean).astype(array.dtype))


def _multiscale(labels: LabelImage, factors: list[int], channel: str) -> dict[str, Any]:
    unit = {} if labels.units == "pixel" else {"unit": labels.units}
    axes = [{"name": "c", "type": "channel"}] if channel else []
    axes += [{"name": axis, "type": "space", **unit} for axis in "yx"]
    ones = [1.0] if channel else []
    return {
        "version": _NGFF,
        "name": labels.image or _NAME,
        "axes": axes,
        "datasets": [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": ones + [s * factor for s in labels.scale]}
                ],
            }
            for number, factor in enumerate(factors)
        ],
    }


def _label_folder(path: Path) -> Path:
    """Find the folder of the first label image at or below a path."""
    for folder in (path, path / "labels"):
        attributes = _attributes(folder)
        if "image-label" in attributes:
            return folder
        names = attributes.get("labels")
        if isinstance(names, list) and names:
            return folder / _plain_path(names[0], path.name)
    return path


def _attributes(folder: Path) -> dict[str, Any]:
    """Attributes of a group, of zarr 2 or 3; empty if there are none."""
    if (folder / ".zattrs").is_file():
        found = read_json(folder / ".zattrs")
    elif (folder / "zarr.json").is_file():
        parsed = read_json(folder / "zarr.json")
        found = parsed.get("attributes") if isinstance(parsed, dict) else None
        if isinstance(found, dict) and isinstance(found.get("ome"), dict):
            found = {**found, **found["ome"]}
    else:
        return {}
    return found if isinstance(found, dict) else {}


def _plain_path(text: object, where: str) -> str:
    """Refuse paths that lead out of the folder."""
    parts = PurePosixPath(text).parts if isinstance(text, str) else ()
    if not parts or any(part in ("..", "/") or "\\" in part or ":" in part for part in parts):
        raise InputError(f"{where} names a part of itself that cannot be: {text!r}.")
    return "/".join(parts)


def _check_array(folder: Path, where: str) -> None:
    """Check what an array declares, before zarr looks at it."""
    wrong = InputError(f"{where} holds no two-dimensional labels, or unusual ones.")
    if (folder / ".zarray").is_file():
        meta = read_json(folder / ".zarray")
        if not isinstance(meta, dict) or meta.get("filters"):
            raise wrong
        compressor = meta.get("compressor") or {"id": None}
        codecs = [compressor.get("id") if isinstance(compressor, dict) else ""]
        chunks, dtype = meta.get("chunks"), str(meta.get("dtype"))
        plain = len(dtype) == 3 and dtype[1] in "biu"
    elif (folder / "zarr.json").is_file():
        meta = read_json(folder / "zarr.json")
        if not isinstance(meta, dict) or not isinstance(meta.get("codecs"), list):
            raise wrong
        codecs = [c.get("name") if isinstance(c, dict) else "" for c in meta["codecs"]]
        try:
            chunks = meta["chunk_grid"]["configuration"]["chunk_shape"]
        except (KeyError, TypeError):
            raise wrong from None
        plain = str(meta.get("data_type")).lstrip("u") in (
            "int8",
            "int16",
            "int32",
            "int64",
            "bool",
        )
    else:
        raise wrong
    shape, chunks = _whole(meta.get("shape"), wrong), _whole(chunks, wrong)
    many = len(shape) > 2 and len([n for n in shape if n > 1]) > 2
    if not plain or many or not all(codec in _CODECS for codec in codecs):
        raise wrong
    check_size(where, shape[-1], math.prod(shape[:-1]))
    if math.prod(chunks) > MAX_PIXELS:
        raise wrong
    if {"gzip", "zlib"} & set(codecs):
        for file in folder.rglob("*"):
            if file.is_file() and file.stat().st_size > _DEFLATE_LIMIT:
                raise wrong


def _whole(numbers: object, wrong: InputError) -> list[int]:
    """Check the lengths of two to five axes."""
    usable = isinstance(numbers, list) and 2 <= len(numbers) <= 5
    if not usable or not all(type(n) is int and n > 0 for n in numbers):  # type: ignore[attr-defined]
        raise wrong
    return list(numbers)  # type: ignore[call-overload, no-any-return]


def _classes(entries: object, where: str) -> tuple[ClassInfo, ...]:
    """Read ``image-label``: colours, and names from properties called class or name."""
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


def _scale(level: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    """Pixel size and unit of the last two axes; nothing where they are not told plainly."""
    transforms = dataset.get("coordinateTransformations")
    first = transforms[0] if isinstance(transforms, list) and transforms else None
    scale = first.get("scale") if isinstance(first, dict) else None
    axes = level.get("axes")
    last = axes[-1] if isinstance(axes, list) and axes else None
    unit = last.get("unit") if isinstance(last, dict) else None
    if not isinstance(scale, list) or len(scale) < 2:
        return {}
    if not all(type(s) in (int, float) and 0 < s < 1e12 for s in scale[-2:]):
        return {}
    units = unit if isinstance(unit, str) and 0 < len(unit) < 40 else "pixel"
    return {"scale": (float(scale[-2]), float(scale[-1])), "units": units}


FORMAT = Format("ome-zarr", "OME-Zarr labels", (".zarr",), read, write)
