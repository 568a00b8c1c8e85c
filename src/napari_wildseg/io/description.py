"""Reading of the JSON description of a label image; every value is checked."""

import math
from typing import Any

from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.label_image import (
    AXES,
    SIDECAR_FORMAT,
    SIDECAR_VERSION,
    LabelImage,
    classes_from_json,
)
from napari_wildseg.io.masks.runs import corrections_of_runs
from napari_wildseg.io.safety.json_data import check_version


def labels_with_description(
    values: NDArray[Any], about: object, where: str, **more: Any
) -> LabelImage:
    """Make a `LabelImage` from the labels of a file and their JSON description."""
    known = about_from_json(about, where, values.shape)
    return LabelImage.from_array(values.reshape(known.pop("shape")), **(known | more))


def about_from_json(about: object, where: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Convert the output of `LabelImage.about` to constructor arguments; every value is checked."""
    if not isinstance(about, dict) or about.get("format") != SIDECAR_FORMAT:
        raise InputError(f"{where} is not a description of labels by napari-wildseg.")
    check_version(about, SIDECAR_VERSION, where)
    full = _shape(about, where, shape)
    axes = about.get("axes", "tzyx"[-len(full) :])
    if axes not in AXES or len(axes) != len(full):
        raise InputError(f"{where}: its axes are not those of its labels.")
    scale = _numbers(about.get("scale", [1.0] * len(full)), len(full))
    if scale is None or min(scale) <= 0:
        raise InputError(f"{where}: the pixel size is not {len(full)} positive numbers.")
    translate = _numbers(about.get("translate", [0.0] * len(full)), len(full))
    if translate is None:
        raise InputError(f"{where}: its place is not {len(full)} numbers.")
    texts = {key: about.get(key, "") for key in ("units", "image", "model")}
    if not all(isinstance(text, str) and len(text) <= 4096 for text in texts.values()):
        raise InputError(f"{where}: units, image and model must be short texts.")
    settings = about.get("settings", {})
    if not isinstance(settings, dict):
        raise InputError(f"{where}: the settings are not an object.")
    corrections = about.get("corrections")
    return {
        "shape": full,
        "classes": classes_from_json(about.get("classes"), where),
        "scale": scale,
        "units": texts["units"] or "pixel",
        "image": texts["image"],
        "model": texts["model"],
        "settings": settings,
        "corrections": (
            None if corrections is None else corrections_of_runs(corrections, full, where)
        ),
        "axes": axes,
        "translate": translate,
        "affine": _affine(about.get("affine"), len(full), where),
    }


def _shape(about: dict[str, Any], where: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Check the described size against the labels; return the shape with all axes."""
    size = about.get("image_size")
    full = about.get("shape", list(shape[-2:]))
    usable = isinstance(full, list) and 2 <= len(full) <= 4
    if usable:
        usable = all(type(n) is int and n > 0 for n in full) and math.prod(full) == math.prod(shape)
    plane = (size.get("height"), size.get("width")) if isinstance(size, dict) else None
    if not usable or plane != tuple(full[-2:]) or plane != tuple(shape[-2:]):
        found = " x ".join(map(str, shape[::-1]))
        raise InputError(f"{where} describes labels of another size than {found}.")
    return tuple(full)


def _numbers(values: object, count: int) -> tuple[float, ...] | None:
    """Return a list of ``count`` finite numbers as floats; None if it is anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(type(v) in (int, float) and abs(v) < 1e300 for v in values):
        return None
    return tuple(map(float, values))


def _affine(rows: object, ndim: int, where: str) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    usable = isinstance(rows, list) and len(rows) == ndim + 1
    matrix = [_numbers(row, ndim + 1) for row in rows] if usable else [None]  # type: ignore[attr-defined]
    found = tuple(row for row in matrix if row is not None)
    if len(found) < ndim + 1:
        raise InputError(f"{where}: its affine matrix is not {ndim + 1} x {ndim + 1} numbers.")
    return found
