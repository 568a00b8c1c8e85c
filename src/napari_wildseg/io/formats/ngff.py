"""Reading of OME-NGFF metadata (0.4 and 0.5) from untrusted folders."""

from pathlib import Path, PurePosixPath
from typing import Any

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.formats.png import read_json


def scale_and_translation(
    multiscale: dict[str, Any], dataset: dict[str, Any], ndim: int
) -> tuple[list[float], list[float]] | None:
    """Combine the transformations of a level with those of the multiscale, applied after them.

    Returns scale and translation per axis; None if there is no usable scale.
    """
    scale, move, given = [1.0] * ndim, [0.0] * ndim, False
    for entry in (dataset, multiscale):
        steps = entry.get("coordinateTransformations")
        for step in steps if isinstance(steps, list) else ():
            kind = step.get("type") if isinstance(step, dict) else None
            values = step.get(kind) if kind in ("scale", "translation") else None
            if not isinstance(values, list) or len(values) != ndim:
                continue
            if not all(type(v) in (int, float) and abs(v) < 1e12 for v in values):
                return None
            if kind == "scale":
                given = True
                scale = [s * v for s, v in zip(scale, values, strict=True)]
                move = [m * v for m, v in zip(move, values, strict=True)]
            else:
                move = [m + v for m, v in zip(move, values, strict=True)]
    return (scale, move) if given and min(scale) > 0 else None


def attributes_of(folder: Path) -> dict[str, Any]:
    """Return the attributes of a zarr group (version 2 or 3); empty if there are none."""
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


def plain_path(text: object, where: str) -> str:
    """Return a relative path; raise `InputError` if it leads out of its folder."""
    parts = PurePosixPath(text).parts if isinstance(text, str) else ()
    if not parts or any(part in ("..", "/") or "\\" in part or ":" in part for part in parts):
        raise InputError(f"{where} names a part of itself that cannot be: {text!r}.")
    return "/".join(parts)
