"""Class sets: names, prompts, colours and ids of classes in a JSON file, shared by many images."""

import json
from collections.abc import Iterable
from pathlib import Path

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.classes import ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.atomic import atomic_write, refuse_existing
from napari_wildseg.io.label_image import SIDECAR_FORMAT, classes_from_json, classes_to_json
from napari_wildseg.io.safety.json_data import check_version, dump_json
from napari_wildseg.io.safety.owners import check_owner

_FORMAT = "napari-wildseg classes"
_VERSION = 1
_MAX_BYTES = 4_000_000


def write_class_set(
    path: str | Path, classes: str | Iterable[str | ClassInfo], *, overwrite: bool = False
) -> Path:
    """Write a class list to a JSON file.

    Parameters
    ----------
    path : str or Path
        The file; ``.json`` is added if it has no ending.
    classes : str or iterable of str or ClassInfo
        As `parse_classes` takes them.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the classes cannot be used, the file is there already, or it would not end in .json.
    WildsegError
        If it cannot be written.
    """
    path = class_set_path(path)
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "classes": classes_to_json(parse_classes(classes)),
    }
    refuse_existing([path], overwrite=overwrite)
    check_owner(path)
    atomic_write(path, dump_json(content), overwrite=overwrite)
    return path


def class_set_path(path: str | Path) -> Path:
    """Return the path that `write_class_set` writes to."""
    path = checked_path(path).expanduser()
    if not path.suffix:
        path = path.with_name(f"{path.name}.json")
    if path.suffix.lower() != ".json":
        raise InputError(f"{path.name} is not a class set's name: let it end in .json.")
    return path


def read_class_set(path: str | Path) -> tuple[ClassInfo, ...]:
    """Read a class list with its ids and colours.

    Parameters
    ----------
    path : str or Path
        A class set, or the JSON sidecar of a label image, whose classes are taken.

    Raises
    ------
    InputError
        If the file is missing, is not a class set, or has a later format version.
    """
    path = checked_path(path).expanduser()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path.name} is too large for a class set.")
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({(error.strerror or str(error)).lower()}): check the name."
        ) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} is not a class set: it is no JSON file.") from None
    if not isinstance(content, dict) or content.get("format") not in (_FORMAT, SIDECAR_FORMAT):
        raise InputError(f"{path.name} is not a class set of napari-wildseg.")
    if content["format"] == _FORMAT:
        check_version(content, _VERSION, path.name)
    classes = classes_from_json(content.get("classes"), path.name)
    if not classes:
        raise InputError(f"{path.name} holds no classes.")
    return parse_classes(classes)
