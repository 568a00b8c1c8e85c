"""Vocabularies: lists of class names, bundled or from the annotator's files.

Only names are shipped, no image and no annotation. The nouns of ImageNet-22k are read from timm.
Names are lower case unless they are proper names, and no list contains a name twice.
`VOCABULARIES` states source and licence of each list.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import MAX_NAME, check_characters, fold
from napari_wildseg.engine.errors import InputError, WildsegError


@dataclass(frozen=True)
class Vocabulary:
    """Description of a bundled vocabulary."""

    name: str  # name for `load_vocabulary`
    count: int  # number of names
    title: str
    source: str  # publication
    licence: str  # licence of the list


def _listed() -> dict[str, Vocabulary]:
    text = Path(__file__).with_name("vocabularies.csv").read_text(encoding="utf-8")
    rows = csv.reader(text.splitlines())
    return {name: Vocabulary(name, int(count), *rest) for name, count, *rest in rows}


VOCABULARIES = _listed()
"""The bundled vocabularies by name, shortest first."""

BUNDLED = tuple(VOCABULARIES)
_HEADERS = {"name", "names", "class", "class_name", "label", "labels"}


def load_vocabulary(name_or_path: str | Path) -> tuple[str, ...]:
    """Load a vocabulary by name, or from a text or CSV file.

    Examples
    --------
    >>> load_vocabulary("voc")[:3]
    ('aeroplane', 'bicycle', 'bird')
    """
    key = str(name_or_path).strip()
    if key.lower() in VOCABULARIES:
        return _read_bundled(key.lower())
    path = Path(key).expanduser()
    if not path.is_file():
        raise InputError(
            f'There is no vocabulary "{key}": use one of {", ".join(BUNDLED)}, '
            "or the path of a text or CSV file of names."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path.name} cannot be read as UTF-8 text: save it as such.") from None
    names = _parse_csv(text) if path.suffix.lower() == ".csv" else _parse_lines(text)
    if not names:
        raise InputError(f"{path.name} holds no names: write one name a line.")
    long = next((name for name in names if len(name) > MAX_NAME), None)
    if long is not None:
        raise InputError(
            f'{path.name}: the name "{long[:30]}..." has {len(long)} characters; '
            f"at most {MAX_NAME} are allowed."
        )
    for name in names:
        check_characters(name, path.name)
    return names


def names_of(vocabulary: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of a vocabulary given by name, by file, or as a list."""
    require(vocabulary, (str, Iterable), "vocabulary", "its name, a file or a list of names")
    names = load_vocabulary(vocabulary) if isinstance(vocabulary, str) else tuple(vocabulary)
    for name in names:
        require(name, str, "name in the vocabulary", "text")
    if not names:
        raise InputError("The vocabulary is empty: give at least one name.")
    return names


def search_names(names: Iterable[str], query: str, limit: int = 50) -> list[str]:
    """Find names that contain the typed words; case, composition and width are ignored.

    Examples
    --------
    >>> search_names(load_vocabulary("coco"), "ca", 3)
    ['car', 'cat', 'carrot']
    """
    asked = " ".join(fold(query).split())
    words = asked.split()
    ranked: list[tuple[int, int, str]] = []
    for position, name in enumerate(names):
        folded = fold(name)
        if not all(word in folded for word in words):
            continue
        rank = 3
        if folded == asked:
            rank = 0
        elif folded.startswith(asked):
            rank = 1
        elif f" {asked}" in folded:
            rank = 2
        ranked.append((rank, position, name))
    return [name for _, _, name in sorted(ranked)[:limit]]


@lru_cache(maxsize=len(VOCABULARIES))
def _read_bundled(name: str) -> tuple[str, ...]:
    if name == "imagenet22k":
        return _nouns_of_timm()
    return _parse_lines(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8"))


def _nouns_of_timm() -> tuple[str, ...]:
    """Return the first name of each of the 21,841 classes, without duplicates."""
    try:
        from timm.data import ImageNetInfo

        info = ImageNetInfo("imagenet22k")
        described = (info.index_to_description(i) for i in range(info.num_classes()))
        return _normalise_names(text.partition(",")[0] for text in described)
    except (ImportError, AttributeError, AssertionError, OSError) as error:
        raise WildsegError(
            f"The nouns of ImageNet-22k cannot be read from timm ({error}): "
            "install a newer timm, or use another vocabulary."
        ) from error


def _parse_lines(text: str) -> tuple[str, ...]:
    """Parse one name per line; skip blank lines and comments."""
    return _normalise_names(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _parse_csv(text: str) -> tuple[str, ...]:
    """Parse the column named in the header, or the first column if there is no header."""
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    if not rows:
        return ()
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((i for i, cell in enumerate(header) if cell in _HEADERS), None)
    if column is None:
        return _normalise_names(row[0] for row in rows)
    return _normalise_names(row[column] for row in rows[1:] if len(row) > column)


def _normalise_names(names: Iterable[str]) -> tuple[str, ...]:
    """Collapse white space; drop blank names and duplicates."""
    clean = (" ".join(name.split()) for name in names)
    return tuple(dict.fromkeys(name for name in clean if name))
