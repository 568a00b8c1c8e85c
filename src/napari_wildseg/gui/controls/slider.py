"""A slider with its number beside it that answers the keyboard.

superqt's sliders for fractions have no keys: Qt's own handling moves a whole number that they do
not use.
"""

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QSlider, QWidget
from superqt import QLabeledDoubleSlider

_STEPS = {Qt.Key.Key_Right: 1, Qt.Key.Key_Up: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: -1}
_PAGES = {Qt.Key.Key_PageUp: 1, Qt.Key.Key_PageDown: -1}


class Slider(QLabeledDoubleSlider):
    """A slider that moves by a step with the arrows, by ten with Page up and down, Home and End."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        for handle in self.findChildren(QSlider):
            handle.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # one stop for Tab, not two

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Move as the keys of any slider do."""
        if event is None:
            return
        key, value = event.key(), self.value()
        if key in _STEPS:
            value += _STEPS[Qt.Key(key)] * self.singleStep()  # type: ignore[no-untyped-call]
        elif key in _PAGES:
            value += _PAGES[Qt.Key(key)] * self.pageStep()
        elif key == Qt.Key.Key_Home:
            value = self.minimum()
        elif key == Qt.Key.Key_End:
            value = self.maximum()
        else:
            super().keyPressEvent(event)
            return
        self.setValue(min(max(value, self.minimum()), self.maximum()))
