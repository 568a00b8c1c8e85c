"""Files that are never replaced, even with ``overwrite``.

These are input files, and the sidecars of other label files.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.label_image import SIDECAR_FORMAT
from napari_wildseg.io.safety.json_data import MAX_JSON, parse_json

_WITH_SIDECAR = (".png", ".txt")
"""Endings of label files with a JSON sidecar."""

_OWNER = "labels_file"


def with_owner(about: dict[str, Any], labels: Path) -> dict[str, Any]:
    """Return a description with the name of the label file that it belongs to."""
    return {**about, _OWNER: labels.name}


def check_owner(path: Path, labels: Path | None = None) -> None:
    """Raise `InputError` if a JSON file is the sidecar of another label file than ``labels``."""
    if not path.is_file():
        return
    owner = _owner(path, labels)
    if owner is not None:
        raise InputError(
            f"{path} is not replaced, since it describes {owner}: choose another name."
        )


def _owner(path: Path, labels: Path | None) -> str | None:
    try:
        with path.open("rb") as file:
            content = parse_json(file.read(MAX_JSON + 1), path.name)
    except (InputError, OSError):
        content = None
    if not isinstance(content, dict) or content.get("format") != SIDECAR_FORMAT:
        if labels is None:
            return None
        raise InputError(
            f"{path} would be replaced by the description of {labels.name}, and is no such file: "
            "move it, or choose another name."
        )
    others = [path.with_suffix(ending) for ending in _WITH_SIDECAR]
    owner = content.get(_OWNER)
    if isinstance(owner, str) and any(owner == other.name and other.is_file() for other in others):
        return None if labels is not None and owner == labels.name else owner
    if labels is not None and labels.is_file():
        return None  # version 0.1 did not write the owner
    return next((other.name for other in others if other.is_file()), None)


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path], what_to_do: str) -> None:
    """Raise `InputError` if an output file or folder would replace an input file."""
    read = [Path(name) for name in inputs]
    for output in outputs:
        for file in read:
            if _same(output, file) or (output.is_dir() and _is_inside(file, output)):
                raise InputError(f"{output} would be replaced while it is read: {what_to_do}.")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, ValueError, RuntimeError):
        return False


def _is_inside(file: Path, folder: Path) -> bool:
    try:
        return folder.resolve() in file.resolve().parents
    except (OSError, ValueError, RuntimeError):
        return False
