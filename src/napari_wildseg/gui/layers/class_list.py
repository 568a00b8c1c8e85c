"""Changes of a class list; ids stay with their class, so that painted pixels keep their meaning."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import (
    MAX_CLASSES,
    ClassInfo,
    class_colour,
    fold,
    parse_classes,
    split_names,
)
from napari_wildseg.engine.errors import InputError


def added(
    classes: Sequence[ClassInfo], text: str, used: Collection[int] = ()
) -> tuple[ClassInfo, ...]:
    """Add classes as typed."""
    new, _ = split_known(classes, text)
    if len(classes) + len(new) > MAX_CLASSES:
        raise InputError(
            f"{len(classes) + len(new)} classes are too many; "
            f"a label image holds at most {MAX_CLASSES}."
        )
    taken = {info.id for info in classes}
    result = list(classes)
    for info in new:
        free = [i for i in range(1, MAX_CLASSES + 1) if i not in taken]
        number = next((i for i in free if i not in used), free[0])
        taken.add(number)
        result.append(replace(info, id=number, colour=class_colour(number)))
    return parse_classes(result)


def split_known(
    classes: Sequence[ClassInfo], text: str
) -> tuple[tuple[ClassInfo, ...], tuple[str, ...]]:
    """Return the classes of a typed text that are new, and the names that are there already."""
    entries: dict[str, str] = {}
    for entry in split_names(text):
        entries.setdefault(fold(" ".join(entry.partition("=")[0].split())), entry)
    typed = parse_classes(list(entries.values()))
    there = {fold(info.name) for info in classes}
    new = tuple(info for info in typed if fold(info.name) not in there)
    return new, tuple(info.name for info in typed if fold(info.name) in there)


def renamed(classes: Sequence[ClassInfo], class_id: int, text: str) -> tuple[ClassInfo, ...]:
    """Give one class another name or other prompts."""
    new = parse_classes([text])[0]
    return parse_classes(
        [replace(i, name=new.name, prompts=new.prompts) if i.id == class_id else i for i in classes]
    )


def recoloured(
    classes: Sequence[ClassInfo], class_id: int, colour: tuple[int, int, int]
) -> tuple[ClassInfo, ...]:
    """Give one class another colour."""
    return tuple(replace(i, colour=colour) if i.id == class_id else i for i in classes)


def matched(
    classes: Sequence[ClassInfo], saved: Sequence[ClassInfo], used: Collection[int] = ()
) -> tuple[tuple[ClassInfo, ...], NDArray[np.int16]]:
    """Find classes of another session in a list, by name, adding those that are missing.

    Returns ``(257,)`` int16: ``table[correction + 1]`` is the correction in ids of this list.
    """
    here = tuple(classes)
    table = np.full(257, -1, np.int16)
    table[1] = 0
    for info in saved:
        known = next((c for c in here if c.name == info.name), None)
        if known is None:
            if info.id in used or info.id in {c.id for c in here}:
                here = added(here, as_typed(info), used)
            else:
                here = parse_classes([*here, info])
            known = here[-1]
        table[info.id + 1] = known.id
    return here, table


def shared(
    classes: Sequence[ClassInfo], own: Sequence[ClassInfo]
) -> tuple[tuple[ClassInfo, ...], tuple[str, ...]]:
    """Return an image's class list under one list for all images."""
    ids = {fold(c.name): c.id for c in own}
    names = {c.id: fold(c.name) for c in own}
    fitting = [
        c
        for c in classes
        if ids.get(fold(c.name), c.id) == c.id and names.get(c.id, fold(c.name)) == fold(c.name)
    ]
    there = {fold(c.name) for c in fitting}
    different = [c.name for c in classes if fold(c.name) not in there]
    left = [c for c in own if fold(c.name) not in there]
    return tuple(sorted([*fitting, *left], key=lambda c: c.id)), tuple(different)


def with_nameless(
    classes: Sequence[ClassInfo], corrections: NDArray[np.int16]
) -> tuple[ClassInfo, ...]:
    """Return classes with one more for each label that was painted but belongs to none.

    `corrections`: ``(H, W)`` int16, -1 where there are none.
    """
    known = {0, *(info.id for info in classes)}
    labels = np.unique(corrections[corrections >= 0]).tolist()
    strange = [label for label in labels if label not in known]
    more = [ClassInfo(i, f"label {i}", (f"label {i}",), class_colour(i)) for i in strange]
    return (*classes, *more)


def as_typed(info: ClassInfo) -> str:
    """Return what the annotator would type for a class.

    Examples
    --------
    >>> as_typed(ClassInfo(1, "cup of coffee", ("cup", "mug"), (0, 0, 0)))
    'cup of coffee=cup|mug'
    """
    if info.prompts == (info.name,):
        return info.name
    return f"{info.name}={'|'.join(info.prompts)}"
