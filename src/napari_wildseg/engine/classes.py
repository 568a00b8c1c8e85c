"""Class names as annotators type them: names, prompts, ids and colours."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

BACKGROUND = 0
UNLABELLED = 255
MAX_CLASSES = 254
MAX_NAME = 200
"""Longest accepted name or prompt, in characters."""


@dataclass(frozen=True)
class ClassInfo:
    """One class of an image.

    Attributes
    ----------
    id : int
        Its label value, 1 to 254.
    name : str
        What the annotator calls it.
    prompts : tuple of str
        What the model is asked for; the class is the mean of them.
    colour : tuple of int
        Red, green, blue, 0 to 255.
    """

    id: int
    name: str
    prompts: tuple[str, ...]
    colour: tuple[int, int, int]


def voc_palette(n: int = 256) -> NDArray[np.uint8]:
    """Return the colour map of PASCAL VOC: label value -> colour, black for 0.

    Parameters
    ----------
    n : int
        How many colours.

    Returns
    -------
    ndarray
        ``(n, 3)`` uint8.

    References
    ----------
    The PASCAL VOC development kit, Everingham et al., IJCV 2010: the bits of the label value are
    dealt out to red, green and blue in turn, highest bit first.
    """
    value = np.arange(n)
    palette = np.zeros((n, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((value >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette


# Okabe & Ito (2008), told apart by colour-blind readers; black and white are left to background.
_FIRST_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def class_colour(class_id: int) -> tuple[int, int, int]:
    """Return the default colour of a class: Okabe-Ito first, then golden-angle hues.

    Parameters
    ----------
    class_id : int
        Label value from 1.

    Returns
    -------
    tuple of int
        Red, green, blue.
    """
    if class_id <= len(_FIRST_COLOURS):
        return _FIRST_COLOURS[class_id - 1]
    step = class_id - len(_FIRST_COLOURS)
    hue = (step * 0.618033988749895) % 1.0
    value = (1.0, 0.72, 0.86)[step % 3]
    saturation = (0.65, 0.9, 0.45)[(step // 3) % 3]
    channel = (np.array([5, 3, 1]) + hue * 6) % 6
    rgb = value - value * saturation * np.clip(np.minimum(channel, 4 - channel), 0, 1)
    red, green, blue = np.rint(rgb * 255).astype(int).tolist()
    return red, green, blue


def parse_classes(labels: str | Iterable[str | ClassInfo]) -> tuple[ClassInfo, ...]:
    """Read class names: ``"cat, cup of coffee=cup|mug"`` or one entry a class.

    Parameters
    ----------
    labels : str or iterable of str or ClassInfo
        A string is split at commas and line ends; double quotes around a name or a prompt keep
        a comma inside it, and a quote within them is doubled. Each entry is ``name`` or
        ``name=prompt|prompt``. Ready `ClassInfo` objects are taken as they are, ids included.

    Returns
    -------
    tuple of ClassInfo
        Ids from 1 in the order given.

    Raises
    ------
    InputError
        If there is no name, a name is blank, given twice (case and width ignored), longer than
        200 characters or holds control characters, if an id is not a label value from 1 to 254 or
        is given twice, or if there are more than 254 classes.

    Examples
    --------
    >>> [(c.id, c.name, c.prompts) for c in parse_classes("cat, cup of coffee=cup|mug")]
    [(1, 'cat', ('cat',)), (2, 'cup of coffee', ('cup', 'mug'))]
    """
    entries: Sequence[str | ClassInfo]
    entries = _split(labels) if isinstance(labels, str) else list(labels)
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
        key = _fold(info.name)
        if key in seen:
            raise InputError(f'The class "{info.name}" is given twice: name each class once.')
        seen[key] = info.name
        classes.append(info)
    if len({info.id for info in classes}) < len(classes):
        raise InputError("Two classes have the same id: give each its own label value.")
    return tuple(classes)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _split(text: str) -> list[str]:
    """Split at commas and line ends, minding double quotes."""
    entries: list[str] = []
    for line in text.splitlines():
        parts = _split_line(line)
        # A comma at the end of a line is a slip, not a blank name.
        while parts and not parts[-1].strip():
            parts.pop()
        entries += parts
    return entries


def _split_line(line: str) -> list[str]:
    """Split at commas outside quotes; a quote opens only where a name or prompt begins."""
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
    """Fold white space; refuse what no model or file can hold."""
    text = " ".join(unicodedata.normalize("NFC", text).strip("\ufeff").split())
    if all(unicodedata.category(c) in ("Cf", "Zs") for c in text):  # nothing that can be seen
        raise InputError(f"Class {position} has a blank name or prompt: type a word, or remove it.")
    if len(text) > MAX_NAME:
        raise InputError(
            f'The name "{text[:30]}..." has {len(text)} characters; at most {MAX_NAME} are allowed.'
        )
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise InputError(f"Class {position} holds characters that cannot be printed: retype it.")
    return text
