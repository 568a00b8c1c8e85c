"""The engine processes of this napari: one for runs, one for learning beside them.

All widgets share them. They end with the last widget, with napari, or on request.
"""

import weakref

from napari_wildseg.process.client import Engine

_runs, _learning = Engine(), Engine(threads=1)
_users: weakref.WeakSet[object] = weakref.WeakSet()


def runs() -> Engine:
    """Return the process that segments."""
    return _runs


def learning() -> Engine:
    """Return the process that learns; on one core, the others are for the annotator."""
    return _learning


def join(user: object) -> None:
    """Note who uses the processes."""
    _users.add(user)


def leave(user: object) -> None:
    """End the processes unless somebody else uses them."""
    _users.discard(user)
    if not _users:
        _runs.stop()
        _learning.stop()
