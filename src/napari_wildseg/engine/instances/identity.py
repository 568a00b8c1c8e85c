"""Ids of objects: kept from one run to the next, and along a stack, by overlap."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def assign_ids(
    parts: NDArray[np.int32],
    previous: NDArray[np.int32] | None = None,
    fixed: Collection[int] = (),
    first_new: int = 1,
) -> NDArray[np.int32]:
    """Give objects their ids: those of strokes, then those they had, then new ones.

    `parts`: ``(H, W)`` int32, 0 for none; `previous`: ``(H, W)`` int32: ids before; returns ``(H,
    W)`` int32.
    """
    size = int(parts.max(initial=0)) + 1
    ids = np.zeros(size, np.int64)
    taken = set(fixed)
    for number in fixed:
        if number < size:
            ids[number] = number
    if previous is not None and previous.any():
        for part, before in _matches(parts, previous):
            if ids[part] == 0 and before not in taken:
                ids[part] = before
                taken.add(before)
        first_new = max(first_new, int(previous.max()) + 1)
    numbers, first = np.unique(parts, return_index=True)
    number = first_new
    for part in numbers[np.argsort(first, kind="stable")].tolist():
        if part and ids[part] == 0:
            while number in taken:
                number += 1
            ids[part] = number
            number += 1
    return ids[parts].astype(np.int32)


def _matches(parts: NDArray[np.int32], previous: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return pairs of present and previous objects, most shared pixels first."""
    both = (parts > 0) & (previous > 0)
    width = int(previous.max()) + 1
    codes, shared = np.unique(
        parts[both].astype(np.int64) * width + previous[both], return_counts=True
    )
    part, before = codes // width, codes % width
    areas = np.bincount(parts.ravel())[part], np.bincount(previous.ravel())[before]
    enough = 2 * shared > np.minimum(*areas)
    part, before, shared = part[enough], before[enough], shared[enough]
    order = np.lexsort((before, part, -shared))
    return list(zip(part[order].tolist(), before[order].tolist(), strict=True))
