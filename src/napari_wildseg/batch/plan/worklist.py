"""The images of a batch and the names of their output files."""

import csv
import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_wildseg.engine.checks import checked_path
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import PICTURE_SUFFIXES, reason, stem_of
from napari_wildseg.io.image_files import is_picture, planes_in

_RESERVED = ("report", "classes")
"""Names of files of the batch itself, which no image may have."""

_LIST_SUFFIXES = (".txt", ".lst", ".csv")
_FORBIDDEN = str.maketrans(dict.fromkeys('/\\\n\r\0:*?"<>|', "_"))


@dataclass(frozen=True)
class WorkItem:
    """One image of a batch.

    Attributes
    ----------
    name : str
        Name of its output files; unique within the batch.
    path : str
        Absolute path of the picture.
    """

    name: str
    path: str


def list_images(source: str | Path, given: Mapping[str, str] | None = None) -> tuple[WorkItem, ...]:
    """Return the images of a batch.

    Parameters
    ----------
    source : str or Path
        A folder (the pictures in it, or in its ``images`` if it has none itself), a glob pattern
        (``"scans/**/*.png"``), a list (``.txt``: a path a line, ``#`` starts a comment;
        ``.csv``: the first column) with paths relative to its own folder, or one picture. A
        zarr counts as a picture. Each plane of a stack (a TIFF or zarr of several) counts as an
        image, called ``stack_0000`` and so on.
    given : mapping of str to str, optional
        Names from an earlier run, by absolute path; they are kept.

    Returns
    -------
    tuple of WorkItem
        Folders and patterns in order of their paths, lists in their own order.

    Raises
    ------
    InputError
        If the source does not exist or holds no picture.
    """
    path = checked_path(source, "source")
    text = os.fspath(source)
    if is_picture(path) and path.is_dir():
        found = [path]
    elif path.is_dir():
        found = _in_folder(path)
        if not found:
            endings = ", ".join((*PICTURE_SUFFIXES, ".zarr"))
            raise InputError(f"{path} holds no pictures ({endings}): check the folder.")
    elif path.is_file():
        found = _in_list(path) if path.suffix.lower() in _LIST_SUFFIXES else [path]
        if not found:
            raise InputError(f"{path} lists no images: write one path a line.")
    elif glob.has_magic(text):
        paths = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - absolute patterns too
        found = [Path(p) for p in paths if is_picture(Path(p))]
        if not found:
            raise InputError(f"No picture matches {text}: check the pattern.")
    else:
        raise InputError(
            f"There is no {text}: give a folder of pictures, a pattern such as "
            '"photos/*.jpg", or a list file.'
        )
    return named(_planes_of(found), given)


def named(
    paths: Iterable[str | Path], given: Mapping[str, str] | None = None
) -> tuple[WorkItem, ...]:
    """Give every image a unique name: its stem, with as many parent folders as necessary.

    Parameters
    ----------
    paths : iterable of str or Path
        The pictures; duplicates are dropped.
    given : mapping of str to str, optional
        Names from an earlier run, by absolute path; they are kept.

    Examples
    --------
    >>> [item.name for item in named(["/d/a/cat.png", "/d/b/cat.png", "/d/b/dog.jpg"])]
    ['a_cat', 'b_cat', 'dog']
    """
    # Made absolute without resolving links, since the name of a link is the user's choice.
    unique = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))  # noqa: PTH100
    given = given or {}
    names = {path: given[str(path)] for path in unique if str(path) in given}
    pending = [path for path in unique if path not in names]
    taken = {name.casefold() for name in (*given.values(), *_RESERVED)}
    for depth in range(1, 2 + max((len(path.parts) for path in pending), default=0)):
        wanted = {path: _name(path, depth) for path in pending}
        counts = Counter(name.casefold() for name in wanted.values())
        clear = {
            path: name
            for path, name in wanted.items()
            if counts[name.casefold()] == 1 and name.casefold() not in taken
        }
        names |= clear
        taken |= {name.casefold() for name in clear.values()}
        pending = [path for path in pending if path not in clear]
    number = 1
    for path in pending:  # names that differ only in ending or forbidden characters
        stem = f"{_name(path, 1)}_{path.suffix[1:].lower()}"
        name = stem
        while name.casefold() in taken:
            number += 1
            name = f"{stem}_{number}"
        names[path] = name
        taken.add(name.casefold())
    return tuple(WorkItem(names[path], str(path)) for path in unique)


def _name(path: Path, depth: int) -> str:
    parts = [part for part in path.parts[:-1] if part != path.anchor]
    kept = parts[len(parts) - (depth - 1) :] if depth > 1 else []
    name = "_".join([*kept, stem_of(path)]).translate(_FORBIDDEN) or "image"
    # File systems allow 255 bytes; leave room for endings.
    return name.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")


def _planes_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Replace each stack by its planes."""
    for path in paths:
        count = planes_in(path)
        if count == 1:
            yield path
        else:
            yield from (path.with_name(f"{path.name}#{plane}") for plane in range(count))


def _in_folder(folder: Path) -> list[Path]:
    for place in (folder, folder / "images"):
        if place.is_dir():
            found = [p for p in sorted(place.iterdir()) if is_picture(p)]
            if found:
                return found
    return []


def _in_list(path: Path) -> list[Path]:
    try:
        # Bytes of file names that are not UTF-8 become lone surrogates.
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path} cannot be read as a list of paths: {reason(error)}.") from error
    if "\0" in text:
        raise InputError(f"{path} cannot be read as a list of paths: it is no text.")
    lines = text.splitlines()
    entries = [line.strip() for line in lines]
    if path.suffix.lower() == ".csv":
        entries = [row[0].strip() for row in csv.reader(entries) if row]
        if entries and entries[0].lower() in ("image", "path", "file", "filename", "file_name"):
            entries = entries[1:]
    return [path.parent / entry for entry in entries if entry and not entry.startswith("#")]
