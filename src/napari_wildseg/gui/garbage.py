"""Keeps garbage collections short while the widget is shown.

napari is a quarter of a million objects, and PyTorch with what it brings twice as many. A
collection of the oldest generation looks at every one of them, 0.4 s in which the window does not
answer, and finds next to nothing: nearly all of them are there to stay. So they are set aside
(`gc.freeze`) when the widget is shown and after each import; collections then look at what is
newer, a few milliseconds. When the last widget is hidden, all is as it was.

What is there when things are set aside, and given up later, stays in memory, since nobody looks.
See `keeper.py` for what is done about that.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import compress
from typing import Any

PIECE = 50_000
"""Objects to be looked at in one go, for a few milliseconds."""

_widgets: set[int] = set()
_aside = False


def begin(widget: int) -> None:
    """Set things aside from now on; more than once is harmless.

    Parameters
    ----------
    widget : int
        Tells who asks for it.
    """
    if widget not in _widgets:
        _widgets.add(widget)
        set_aside()


def end(widget: int) -> None:
    """Have everything looked at again, unless another widget is shown."""
    _widgets.discard(widget)
    if not _widgets:
        _put_back()


def set_aside() -> None:
    """Have what there is now looked at no more while a widget is shown; any thread may call.

    Without a widget it only counts as old from now on, so that the frequent collections of young
    objects do not look at it first.
    """
    global _aside
    if not _aside and gc.get_freeze_count():
        return  # somebody's own arrangement
    gc.freeze()
    if _widgets:
        _aside = True
    else:
        gc.unfreeze()


def look_through() -> None:
    """Collect garbage among all there is; on the GUI thread, where objects of Qt may be let go."""
    aside = _aside
    _put_back()
    gc.collect()
    if aside:
        set_aside()


def living(*kinds: type) -> Iterator[list[Any]]:
    """Find all objects of some classes that are in memory, set aside or not, a piece at a time.

    Parameters
    ----------
    *kinds : type
        The classes; their subclasses count as well.

    Yields
    ------
    list
        Those among the next `PIECE` objects.
    """
    wanted = {kind for each in kinds for kind in _with_subclasses(each)}
    aside = _aside
    _put_back()
    everything = gc.get_objects()
    if aside:
        set_aside()
    yield []
    while everything:
        piece = everything[-PIECE:]
        del everything[-PIECE:]
        yield list(compress(piece, map(wanted.__contains__, map(type, piece))))


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for each in subclasses:
        yield from _with_subclasses(each)


def _put_back() -> None:
    global _aside
    if _aside:
        _aside = False
        gc.unfreeze()
