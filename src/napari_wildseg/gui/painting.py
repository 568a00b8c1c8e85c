"""Drawing the window as turns of the event loop of their own.

Without a graphics card the window takes 15 to 40 ms to be drawn, which otherwise follows at once
on what made it necessary.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QMovie
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QStatusBar

TURN = 1
"""Milliseconds to the next turn. With none, Qt may go on before it looks at mouse and keyboard."""


_HOLDS: weakref.WeakSet[_Hold] = weakref.WeakSet()
"""Those that have not ended."""


class _Hold(QObject):
    """Keeps a window from being drawn.

    Qt asks for it by an event, which is withheld. To switch the window's updates off and on would
    do as well, but then everything in the window is drawn anew, and not only what has changed. A
    canvas draws itself as soon as it is given another size, so it is switched off.

    It ends with the window and with the program: Qt would ask an object that Python has given up.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._asked = False
        self._canvases = [each for each in canvases_of(window) if each.updatesEnabled()]
        for canvas in self._canvases:
            canvas.setUpdatesEnabled(False)
        self._over = False
        # Not of the application: each event of every widget would wait for Python's lock, which
        # the worker has.
        window.installEventFilter(self)
        _HOLDS.add(self)

    def eventFilter(  # noqa: N802 - Qt's name
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Withhold what has the window drawn."""
        if event is None:
            return False
        if event.type() == QEvent.Type.Close and watched is self._window:
            self.end()
        if event.type() != QEvent.Type.UpdateRequest or self._over or watched is not self._window:
            return False
        self._asked = True
        return True

    def end(self) -> None:
        """Have drawn what was to be drawn meanwhile; nothing where it ended before."""
        if self._over:
            return
        self._over = True
        _HOLDS.discard(self)
        self._window.removeEventFilter(self)
        for canvas in self._canvases:
            with suppress(RuntimeError):  # taken from the window meanwhile
                canvas.setUpdatesEnabled(True)
        if self._asked:
            # Qt does not ask twice for the same.
            QApplication.postEvent(self._window, QEvent(QEvent.Type.UpdateRequest))
        self.deleteLater()


@atexit.register
def _end_all() -> None:
    for hold in list(_HOLDS):
        with suppress(RuntimeError):  # gone with its window
            hold.end()


def hold_painting() -> Callable[[], None]:
    """Have no window drawn until what is returned is called, once."""
    return partial(_go_on, [_Hold(window) for window in _windows()])


def _go_on(held: list[_Hold]) -> None:
    for hold in held:
        with suppress(RuntimeError):  # closed meanwhile
            hold.end()


def hold_spinners() -> Callable[[], None]:
    """Have the pictures that turn in status bars stand still until what is returned is called.

    napari shows one as long as there is a progress bar, of 36 pictures a second. With each of them
    the whole window is composed anew, which takes a third of two processors from the job where
    there is no graphics card.
    """
    directly = Qt.FindChildOption.FindDirectChildrenOnly  # a window has a thousand others
    windows = main_windows()
    bars = [bar for each in windows for bar in each.findChildren(QStatusBar, "", directly)]
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


def draw_canvases() -> None:
    """Have canvases drawn now where nobody sees it, while windows are held.

    What a canvas does only once for a layer (compiling its program, handing its pixels to the
    graphics library) is then done when the window is drawn.
    """
    for window in _windows():
        for canvas in canvases_of(window):
            canvas.grabFramebuffer()


def canvases_of(window: QMainWindow) -> list[QOpenGLWidget]:
    """Return the canvases of a window that are in view, but for those of its docks.

    Docks have many children to look through, and keep their size when something is shown.
    """
    center = window.centralWidget()
    found = [] if center is None else center.findChildren(QOpenGLWidget)
    return [each for each in found if each.isVisible()]


def _windows() -> list[QMainWindow]:
    return [window for window in main_windows() if window.isVisible()]


def main_windows() -> list[QMainWindow]:
    """Return the windows of the application that have a status bar, docks and the like."""
    return [each for each in QApplication.topLevelWidgets() if isinstance(each, QMainWindow)]
