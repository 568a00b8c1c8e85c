"""Class names and pictures of YOLO label files, in the places where other programs put them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_wildseg.engine.classes import MAX_CLASSES, MAX_NAME, ClassInfo, class_colour
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import PICTURE_SUFFIXES

NAMES_FILE = "data.yaml"
"""File name of the class list that a batch writes."""

_LISTS = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_LONGEST = 1_000_000


def names_bytes(classes: Iterable[ClassInfo]) -> bytes:
    """Encode a ``data.yaml`` with the class names, numbered from 0."""
    import json

    lines = ["path: .", "names:"]
    # A JSON string is also a YAML string, with any characters.
    lines += [f"  {info.id - 1}: {json.dumps(info.name, ensure_ascii=False)}" for info in classes]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def classes_beside(path: Path) -> tuple[ClassInfo, ...]:
    """Read class names from a list beside a label file or in the two folders above.

    Returns no classes if there is no list.
    """
    for folder in path.absolute().parents[:3]:
        for name in _LISTS:
            if (folder / name).is_file() and folder / name != path.absolute():
                names = _read(folder / name)
                if names:
                    return tuple(
                        ClassInfo(number + 1, text, (text,), class_colour(number + 1))
                        for number, text in sorted(names.items())
                        if 0 <= number < MAX_CLASSES
                    )
    return ()


def picture_of(path: Path) -> Path | None:
    """Return the picture of a label file: beside it, or in ``images`` instead of ``labels``."""
    path = path.absolute()
    folders = [path.parent, path.parent.parent / "images"]
    parts = list(path.parent.parts)
    if "labels" in parts:  # the last "labels": images/train/p.jpg belongs to labels/train/p.txt
        parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
        folders.append(Path(*parts))
    for folder in folders:
        for suffix in PICTURE_SUFFIXES:
            for ending in (suffix, suffix.upper(), suffix.title()):
                picture = folder / f"{path.stem}{ending}"
                if picture.is_file():
                    return picture
    return None


def _read(path: Path) -> dict[int, str]:
    """Read class names from a list or YAML file, by number."""
    with path.open("rb") as file:
        data = file.read(_LONGEST + 1)
    wrong = InputError(f"{path} is not a list of class names.")
    if len(data) > _LONGEST:
        raise wrong
    text = data.decode("utf-8-sig", "replace")
    names: Any = text.splitlines()
    if path.suffix in (".yaml", ".yml"):
        import yaml  # type: ignore[import-untyped]

        try:
            content = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise wrong from error
        names = content.get("names") if isinstance(content, dict) else None
        if names is None:
            return {}
    if isinstance(names, list):
        while names and not str(names[-1]).strip():
            names.pop()
        names = dict(enumerate(names))
    if not isinstance(names, dict) or len(names) > 100_000:
        raise wrong
    found = {}
    for key, name in names.items():
        short = " ".join(name.split()) if isinstance(name, str) else str(name)
        if type(key) is not int or not 0 < len(short) <= MAX_NAME:
            raise wrong
        found[key] = short
    return found
