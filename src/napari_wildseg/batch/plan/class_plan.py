"""The classes that each image of a batch is segmented into, with ids of the whole data set."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.pictures.picture_files import PICTURE_SUFFIXES, reason, split_plane
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.label_image import classes_from_json

_LABEL_FILES = (".csv", ".json")


@dataclass(frozen=True)
class ClassPlan:
    """The classes of a data set and of each of its images.

    Attributes
    ----------
    mode : str
        ``"same"``: all classes for every image. ``"known"``: the classes listed for the image.
        ``"auto"``: the classes that the model finds in it, at least one. ``"present"``: the
        classes that the model finds in it, possibly none.
    classes : tuple of ClassInfo
        Classes of the whole set. Ids are fixed before the first image, so that results do not
        depend on the order of the images.
    known : dict of str to tuple of int
        Class ids by the image's name, for ``"known"`` only.
    """

    mode: str
    classes: tuple[ClassInfo, ...]
    known: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def of(self, name: str) -> tuple[ClassInfo, ...] | None:
        """Return the classes of an image; None if the model is to find them.

        Parameters
        ----------
        name : str
            The image's name in the batch.

        Raises
        ------
        InputError
            If labels are known per image and none are listed for this one.
        """
        if self.mode in ("auto", "present"):
            return None
        if self.mode == "same":
            return self.classes
        if name not in self.known:
            raise InputError("no labels are listed for it: add it to the file of labels.")
        wanted = set(self.known[name])
        return tuple(info for info in self.classes if info.id in wanted)


def plan_classes(
    labels: str, items: Sequence[WorkItem], *, vocabulary: str = "coco", if_present: bool = False
) -> ClassPlan:
    """Make a class plan from the argument ``--labels``.

    Parameters
    ----------
    labels : str
        One of: ``"auto"``; a ``.csv`` or ``.json`` file with the labels of each image; a
        ``.json`` file with a list of classes (a class set or a sidecar), whose ids and colours
        are kept; class names, such as ``"cat, cup of coffee=cup|mug"``.
    items : sequence of WorkItem
        The images.
    vocabulary : str
        Vocabulary for ``"auto"``: a bundled list or a file.
    if_present : bool
        Segment each image only into those of the class names that the model finds in it,
        possibly none.

    Raises
    ------
    InputError
        If the file or the names cannot be used, or there would be more than 254 classes.
    """
    require(labels, str, "argument labels", 'class names, a file or "auto"')
    if labels.strip().lower() == "auto":
        names = load_vocabulary(vocabulary)
        if len(names) > MAX_CLASSES:
            raise InputError(
                f'The vocabulary "{vocabulary}" has {len(names)} names; a data set holds at most '
                f"{MAX_CLASSES} classes: choose a shorter list with --vocabulary."
            )
        return ClassPlan("auto", _classes(names))
    path = Path(labels.strip())
    mode = "present" if if_present else "same"
    if path.suffix.lower() in _LABEL_FILES and "," not in path.name:
        classes = _class_list(path)
        if classes is not None:
            return ClassPlan(mode, classes)
        if if_present:
            raise InputError("--if-present needs class names: a file says what is present.")
        return _match(read_known_labels(path), items, path)
    return ClassPlan(mode, parse_classes(labels))


def _class_list(path: Path) -> tuple[ClassInfo, ...] | None:
    """Return the classes of a class set or sidecar; None for another file."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or "format" not in content or "classes" not in content:
        return None
    return parse_classes(classes_from_json(content["classes"], path.name))


def read_known_labels(path: str | Path) -> dict[str, list[str]]:
    """Read the labels of each image from a file.

    Parameters
    ----------
    path : str or Path
        JSON: an object from image to names, as a list (``["cat", "cup=mug|cup"]``), one text
        (``"cat, cup"``) or mask values and names (``{"1": "cat"}``). CSV: the image, then its
        names, in one cell or several, in one row or several; a first row headed "image" is
        skipped. An image may be given by path, file name or stem.

    Returns
    -------
    dict of str to list of str
        Class names by image, both as written. An empty list means that no class is present.

    Raises
    ------
    InputError
        If the file cannot be read as described.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path} with the labels of the images: check the name.")
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix.lower() == ".json":
            return _from_json(json.loads(text), path.name)
        rows = list(csv.reader(text.splitlines()))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {reason(error)}.") from error
    return _from_rows(rows)


def _from_json(parsed: object, where: str) -> dict[str, list[str]]:
    wrong = InputError(
        f'{where} does not map images to class names, like {{"photo.jpg": ["cat", "dog"]}}.'
    )
    if not isinstance(parsed, dict):
        raise wrong
    found: dict[str, list[str]] = {}
    for image, entry in parsed.items():
        if isinstance(entry, dict):
            entry = [name for value, name in entry.items() if value != "0"]
        names = _split(entry) if isinstance(entry, str) else entry
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise wrong
        found[image] = names
    return found


def _from_rows(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        cells = [cell.strip() for cell in row]
        if not cells or not cells[0] or cells[0].startswith("#"):
            continue
        if number == 0 and cells[0].lower() in ("image", "path", "file", "filename", "file_name"):
            continue
        names = found.setdefault(cells[0], [])
        names += [name for cell in cells[1:] for name in _split(cell)]
    return found


def _split(text: str) -> list[str]:
    """Split a cell of class names."""
    if not text.strip():
        return []
    return [_typed(info) for info in parse_classes(text)]


def _typed(info: ClassInfo) -> str:
    return info.name if info.prompts == (info.name,) else f"{info.name}={'|'.join(info.prompts)}"


def _match(listed: Mapping[str, list[str]], items: Sequence[WorkItem], path: Path) -> ClassPlan:
    """Match listed labels to the images; classes are numbered in order of first mention."""
    entries: dict[str, str] = {}
    for names in listed.values():
        for name in names:
            entries.setdefault(" ".join(name.partition("=")[0].split()), name)
    if not entries:
        raise InputError(f"{path} names no class at all: list the names of each image.")
    if len(entries) > MAX_CLASSES:
        raise InputError(
            f"{path} names {len(entries)} classes; a data set holds at most {MAX_CLASSES}."
        )
    classes = _classes(entries.values())
    ids = dict(zip(entries, (info.id for info in classes), strict=True))
    by_key = {_key(image): names for image, names in listed.items()}
    known: dict[str, tuple[int, ...]] = {}
    for item in items:
        own = _look_up(by_key, item)
        if own is not None:
            wanted = {ids[" ".join(name.partition("=")[0].split())] for name in own}
            known[item.name] = tuple(sorted(wanted))
    if not known:
        some = next(iter(listed))
        raise InputError(
            f'{path} lists none of the images: its first entry is "{some}", '
            f"the first image {Path(items[0].path).name}."
        )
    return ClassPlan("known", classes, known)


def _classes(names: Iterable[str]) -> tuple[ClassInfo, ...]:
    return parse_classes(list(names))


def _key(image: str) -> str:
    return image.replace("\\", "/").removeprefix("./").casefold()


def _look_up(by_key: Mapping[str, list[str]], item: WorkItem) -> list[str] | None:
    """Return the listed labels of an image.

    The longest listed part of its path counts, with or without ending. An entry of a stack is for
    all of its planes.
    """
    path = _key(str(split_plane(item.path)[0]))
    parts = path.split("/")
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        stem = tail
        for suffix in PICTURE_SUFFIXES:
            stem = tail.removesuffix(suffix) if tail.endswith(suffix) else stem
        for candidate in (tail, stem):
            if candidate in by_key:
                return by_key[candidate]
    return by_key.get(_key(item.name))
