"""Drawing the window as a turn of the event loop of its own.

Without a graphics card the window takes some 40 ms to be drawn, which otherwise follows at once on
what made it necessary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from qtpy.QtWidgets import QApplication, QMainWindow

TURN = 1
"""Milliseconds to the next turn. With none, Qt may go on before it looks at mouse and keyboard."""


def hold_painting() -> Callable[[], None]:
    """Have no window drawn until what is returned is called."""
    windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    held = [window for window in windows if window.isVisible() and window.updatesEnabled()]
    for window in held:
        window.setUpdatesEnabled(False)
    return partial(_go_on, held)


def _go_on(held: list[QMainWindow]) -> None:
    for window in held:
        with suppress(RuntimeError):  # closed meanwhile
            window.setUpdatesEnabled(True)
