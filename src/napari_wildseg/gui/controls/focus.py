"""Where the keys go: a line around the control, which napari's themes do not show; and Tab."""

from collections.abc import Iterator
from itertools import pairwise

from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QApplication, QLayout, QScrollArea, QWidget

_WIDTH = 2.0
"""Of the line, in logical pixels."""


class FocusMark(QWidget):
    """Marks whichever control below a widget has the focus, unless a click gave it.

    It takes the text colour of the control, so it follows the theme, and lies on the control's
    edge, so nothing moves.
    """

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()
        self._root = root
        self.marked: QWidget | None = None
        """The control that is marked."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self.follow)

    def follow(self, _before: QWidget | None, now: QWidget | None) -> None:
        """Mark the control that has the focus now, if it is one of ours."""
        clicked = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if now is None or clicked or not self._root.isAncestorOf(now):
            self._mark(None)
        else:
            self._mark(now)

    def _mark(self, control: QWidget | None) -> None:
        if self.marked is not None:
            self.marked.removeEventFilter(self)
            self.marked.destroyed.disconnect(self._on_destroyed)
        self.marked = control
        if control is None:
            self.hide()
            return
        control.installEventFilter(self)
        control.destroyed.connect(self._on_destroyed)
        self.setParent(control.parentWidget() or self._root)
        self._place()

    def _on_destroyed(self) -> None:
        self.marked = None
        self.hide()

    def eventFilter(  # noqa: N802 - Qt's name
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Go where the control goes."""
        if event is not None and event.type() in (
            QEvent.Type.Move,
            QEvent.Type.Resize,
            QEvent.Type.Show,
            QEvent.Type.Hide,
        ):
            self._place()
        return False

    def _place(self) -> None:
        control = self.marked
        if control is not None:
            self.setGeometry(control.geometry())
            self.setVisible(control.isVisibleTo(self.parentWidget()))
            self.raise_()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the line."""
        if self.marked is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.marked.palette().windowText(), _WIDTH))
        inset = _WIDTH / 2
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), 3, 3)
        painter.end()


def tab_in_reading_order(root: QWidget) -> None:
    """Have Tab go through the controls as they are laid out, not as they were made."""
    for before, after in pairwise(_tab_stops(root)):
        QWidget.setTabOrder(before, after)


def _tab_stops(widget: QWidget | None) -> Iterator[QWidget]:
    if widget is None:
        return
    if isinstance(widget, QScrollArea):
        yield from _tab_stops(widget.widget())
    elif widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
        yield widget
    else:
        yield from _laid_out(widget.layout())


def _laid_out(layout: QLayout | None) -> Iterator[QWidget]:
    for place in range(0 if layout is None else layout.count()):
        assert layout is not None
        item = layout.itemAt(place)
        if item is not None:
            yield from _tab_stops(item.widget())
            yield from _laid_out(item.layout())
