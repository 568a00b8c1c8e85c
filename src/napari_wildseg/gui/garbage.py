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


def _put_back() -> None:
    global _aside
    if _aside:
        _aside = False
        gc.unfreeze()
