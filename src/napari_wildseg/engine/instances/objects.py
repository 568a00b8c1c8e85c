"""Objects and their table, as `Result.objects` gives them."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances.splitting import split
from napari_wildseg.engine.instances.table import classes_of, table_of


class Objects(NamedTuple):
    """Objects of an image."""

    ids: NDArray[np.int32]  # ``(H, W)`` int32: 0 for no object, else its id
    # A column each: id, class_id, class, area, centroid, box and perimeter, in pixels; a row an
    # object in the order of ids. ``pandas.DataFrame(table)`` takes it.
    table: dict[str, NDArray[Any]]


def objects_of(
    labels: NDArray[np.uint8],
    classes: Sequence[ClassInfo],
    image: NDArray[np.uint8] | None = None,
    *,
    things: Collection[str | int] | None = None,
    **options: Any,
) -> Objects:
    """Split labels into objects and measure them.

    `labels`: ``(H, W)`` uint8; `image`: ``(H, W, 3)`` uint8.
    """
    ids = split(labels, thing_ids(things, classes), image, **options)
    return Objects(ids, table_of(ids, classes_of(ids, labels), classes))


def thing_ids(
    things: Collection[str | int] | None, classes: Sequence[ClassInfo]
) -> frozenset[int] | None:
    """Return the ids of classes that are given by name or id; None stays None."""
    if things is None:
        return None
    known: dict[str | int, int] = {info.id: info.id for info in classes}
    known |= {info.name.casefold(): info.id for info in classes}
    found = set()
    for thing in [things] if isinstance(things, str) else things:
        key = thing.strip().casefold() if isinstance(thing, str) else thing
        if key not in known:
            names = ", ".join(info.name for info in classes) or "none"
            raise InputError(f'There is no class "{thing}" in the labels; there are: {names}.')
        found.add(known[key])
    return frozenset(found)
