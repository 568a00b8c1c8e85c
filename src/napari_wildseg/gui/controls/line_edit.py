"""A line to type in whose hint can be read in the light theme too."""

from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLineEdit

_OPACITY = 185
"""Of the hint, of 255: 4.5 to 1 against the line in both of napari's themes. Qt gives half."""


class Line(QLineEdit):
    """A line edit whose placeholder follows the theme's text colour."""

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Follow a new theme."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._tint()

    def _tint(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.Text)
        rgb = f"{colour.red()}, {colour.green()}, {colour.blue()}"
        sheet = f"QLineEdit {{ placeholder-text-color: rgba({rgb}, {_OPACITY}); }}"
        if sheet != self.styleSheet():  # setting it changes the style once more
            self.setStyleSheet(sheet)
