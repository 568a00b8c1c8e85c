"""Drawing the window as a turn of the event loop of its own.

Without a graphics card the window takes some 40 ms to be drawn, which otherwise follows at once on
what made it necessary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QStatusBar

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


def hold_spinners() -> Callable[[], None]:
    """Have the pictures that turn in status bars stand still until what is returned is called.

    napari shows one as long as there is a progress bar, of 36 pictures a second. With each of them
    the whole window is composed anew, which takes a third of two processors from the job where
    there is no graphics card.
    """
    windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    bars = [bar for window in windows for bar in window.findChildren(QStatusBar)]
    labels = [label for bar in bars for label in bar.findChildren(QLabel)]
    movies = [movie for label in labels if (movie := label.movie()) is not None]
    held = [movie for movie in movies if movie.state() == QMovie.MovieState.Running]
    for movie in held:
        movie.setPaused(True)
    return partial(_turn_on, held)


def _turn_on(held: list[QMovie]) -> None:
    for movie in held:
        with suppress(RuntimeError):  # closed meanwhile
            movie.setPaused(False)
