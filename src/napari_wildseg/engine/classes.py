"""Parsing of class names: names, prompts, ids and colours."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import palette_colour

BACKGROUND = 0
UNLABELLED = 255
MAX_CLASSES = 254
_JOINERS = "\u200c\u200d"
MAX_NAME = 200
"""Longest accepted name or prompt, in characters."""


@dataclass(frozen=True)
class ClassInfo:
    """One class of an image.

    Attributes
    ----------
    id : int
        Label value, 1 to 254.
    name : str
        Name shown to the annotator.
    prompts : tuple of str
        Texts that the model encodes; the class vector is their mean.
    colour : tuple of int
        Red, green, blue, 0 to 255.
    """

    id: int
    name: str
    prompts: tuple[str, ...]
    colour: tuple[int, int, int]


def class_colour(class_id: int) -> tuple[int, int, int]:
    """Return the default colour of a class; see `napari_wildseg.engine.names.palette`."""
    return palette_colour(class_id)


def parse_classes(labels: str | Iterable[str | ClassInfo]) -> tuple[ClassInfo, ...]:
    """Parse class names: ``"cat, cup of coffee=cup|mug"``, or one entry per class.

    Parameters
    ----------
    labels : str or iterable of str or ClassInfo
        A string is split at commas and line breaks. Double quotes around a name or a prompt
        protect commas inside it; a quote inside them is doubled. Each entry is ``name`` or
        ``name=prompt|prompt``. `ClassInfo` objects are kept, ids included; only line breaks and
        tabs in their names become spaces.

    Returns
    -------
    tuple of ClassInfo
        The classes, with ids from 1 in the given order.

    Raises
    ------
    InputError
        If there is no name; if a name is blank, given twice (ignoring case and width), longer
        than 200 characters, or holds control characters (including bidirectional overrides); if
        an id is given twice or is not between 1 and 254; or if there are more than 254 classes.

    Examples
    --------
    >>> [(c.id, c.name, c.prompts) for c in parse_classes("cat, cup of coffee=cup|mug")]
    [(1, 'cat', ('cat',)), (2, 'cup of coffee', ('cup', 'mug'))]
    """
    entries: Sequence[str | ClassInfo]
    try:
        entries = split_names(labels) if isinstance(labels, str) else list(labels)
    except TypeError:
        raise InputError(
            f'The class names are {labels!r}: give names such as "cat, dog".'
        ) from None
    if not entries:
        raise InputError('No class names were given: type at least one, for example "cat".')
    if len(entries) > MAX_CLASSES:
        raise InputError(
            f"{len(entries)} classes were given; a label image holds at most {MAX_CLASSES}."
        )
    classes: list[ClassInfo] = []
    seen: dict[str, str] = {}
    for position, entry in enumerate(entries, start=1):
        info = entry if isinstance(entry, ClassInfo) else _parse_entry(entry, position)
        if not 1 <= info.id <= MAX_CLASSES:
            raise InputError(
                f'The class "{info.name}" has the id {info.id}: give a number from 1 to 254.'
            )
        if not info.name.strip() or not any(p.strip() for p in info.prompts):
            raise InputError(f"Class {position} has a blank name or prompt: type a word.")
        # Some formats store one name per line, so line breaks and tabs become spaces.
        info = replace(
            info, name=_one_line(info.name), prompts=tuple(_one_line(p) for p in info.prompts)
        )
        for text in (info.name, *info.prompts):
            check_characters(text, f"Class {position}")
        key = fold(info.name)
        if key in seen:
            raise InputError(f'The class "{info.name}" is given twice: name each class once.')
        seen[key] = info.name
        classes.append(info)
    if len({info.id for info in classes}) < len(classes):
        raise InputError("Two classes have the same id: give each its own label value.")
    return tuple(classes)


def _one_line(text: str) -> str:
    """Replace line breaks and tabs by spaces."""
    only_spaces = "".join(text.split()) == text.replace(" ", "")
    return text if only_spaces else " ".join(text.split())


def check_characters(text: str, what: str) -> None:
    """Raise `InputError` for control characters in a name, including bidirectional overrides."""
    for character in text:
        kind = unicodedata.category(character)
        if kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS):
            raise InputError(
                f"{what} has a name or prompt with the control character "
                f"U+{ord(character):04X}: retype it."
            )


def fold(name: str) -> str:
    """Normalise a name for comparison: case, width and Unicode composition are ignored."""
    return unicodedata.normalize("NFKC", name).casefold()


def split_names(text: str) -> list[str]:
    """Split at commas and line ends, minding double quotes."""
    entries: list[str] = []
    for line in text.splitlines():
        # A comma too many is a slip, not a blank name.
        entries += [part for part in _split_line(line) if part.strip()]
    return entries


def _split_line(line: str) -> list[str]:
    """Split at commas outside quotes; a quote opens only at the start of a name or prompt."""
    parts = [""]
    quoted, position = False, 0
    while position < len(line):
        character = line[position]
        begins = parts[-1].rstrip()[-1:] in ("", "=", "|")
        if quoted and line.startswith('""', position):
            parts[-1] += '"'
            position += 1
        elif character == '"' and (quoted or begins):
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
        position += 1
    if quoted:
        raise InputError('A quote in the class names is not closed: write "salt, pepper", road.')
    return parts


def _parse_entry(entry: str, position: int) -> ClassInfo:
    if not isinstance(entry, str):
        raise InputError(f"Class {position} is {entry!r}: a class name must be text.")
    name, equals, right = entry.partition("=")
    name = _clean(name, position)
    parts = [_clean(part, position) for part in right.split("|")] if equals else [name]
    prompts = tuple(dict.fromkeys(parts))
    return ClassInfo(position, name, prompts, class_colour(position))


def _clean(text: str, position: int) -> str:
    """Normalise white space; raise `InputError` for blank, long or unprintable text."""
    text = " ".join(unicodedata.normalize("NFC", text).strip("\ufeff").split())
    if all(unicodedata.category(c) in ("Cf", "Zs") for c in text):  # nothing visible
        raise InputError(f"Class {position} has a blank name or prompt: type a word, or remove it.")
    if len(text) > MAX_NAME:
        raise InputError(
            f'The name "{text[:30]}..." has {len(text)} characters; at most {MAX_NAME} are allowed.'
        )
    check_characters(text, f"Class {position}")
    return text
