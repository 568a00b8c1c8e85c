"""Whether the annotator's hands rest: no key, no mouse, no open menu for a moment."""

from __future__ import annotations

import time

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QWindow
from qtpy.QtWidgets import QApplication, QWidget

_INPUT = frozenset(
    {
        QEvent.Type.KeyPress,
        QEvent.Type.KeyRelease,
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseButtonRelease,
        QEvent.Type.MouseMove,
        QEvent.Type.Wheel,
        QEvent.Type.TabletMove,
        QEvent.Type.TabletPress,
        QEvent.Type.TouchBegin,
        QEvent.Type.TouchUpdate,
    }
)


class Hands(QObject):
    """Notes when mouse or keyboard were last used in the window of a widget.

    It listens to the window of the operating system, not to the application: that one is asked for
    every event of every widget, this one only for what comes from outside.

    Parameters
    ----------
    widget : QWidget
        A widget that is shown.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._last = time.monotonic()
        top = widget.window()
        self._window: QWindow | None = None if top is None else top.windowHandle()
        if self._window is not None:
            self._window.installEventFilter(self)

    def eventFilter(  # noqa: N802 - Qt's name
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Note the time; the event goes on as if nobody had listened."""
        if event is not None and event.type() in _INPUT:
            self.used()
        return False

    def used(self) -> None:
        """Count the moment as one at which they did not rest."""
        self._last = time.monotonic()

    def rest_for(self, seconds: float) -> bool:
        """Whether nothing was touched for so long, and nothing is held or open now."""
        held = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if held or QApplication.activePopupWidget() or QApplication.activeModalWidget():
            self.used()
        return time.monotonic() - self._last >= seconds

    def let_go(self) -> None:
        """Listen no more."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None
