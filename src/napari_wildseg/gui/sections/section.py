"""What every section of the dock widget has in common."""

from collections.abc import Callable
from typing import ClassVar

from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtGui import QAction, QKeySequence, QPalette
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QShortcut,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_wildseg.gui.actions.controller import Controller
from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.help import LOOP

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


class Section(QWidget):
    """Controls of one subject, one under the other in `column`.

    A subclass makes its controls in `build`. Importing or making a section must not load a model
    or torch: the widget opens in a fraction of a second.

    Parameters
    ----------
    controller : Controller
        What carries out what the annotator asks for.
    parent : QWidget, optional
        The dock widget.
    """

    title: ClassVar[str] = ""
    """The heading under which the section can be folded; those of the main loop have none."""
    about: ClassVar[str] = ""
    """Tooltip of the heading."""
    page: ClassVar[str] = LOOP
    """Page of the documentation, and heading, that F1 opens."""
    expand_requested = Signal()
    """There is something to do in the section now."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controller = controller
        self.menu_actions: list[QAction] = []
        """What the section adds to the menu behind the three dots."""
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self.build()

    def build(self) -> None:
        """Make the controls and connect them."""
        raise NotImplementedError

    def button(
        self,
        name: str,
        text: str,
        tooltip: str,
        slot: Callable[[], object],
        *,
        enabled: bool = True,
    ) -> QPushButton:
        """Return a button with an object name and a tooltip, not laid out yet."""
        button = named(QPushButton(text, self), name, tooltip, enabled=enabled)
        button.clicked.connect(lambda: slot())
        return button

    def check_box(
        self,
        name: str,
        text: str,
        tooltip: str,
        slot: Callable[[bool], object],
        *,
        on: bool = False,
    ) -> QCheckBox:
        """Return a check box with an object name and a tooltip, not laid out yet."""
        box = named(QCheckBox(text, self), name, tooltip, checked=on)
        box.toggled.connect(slot)
        return box

    def combo(self, name: str, tooltip: str, width: int = 6) -> QComboBox:
        """Return a box to choose from that does not widen the dock, not laid out yet."""
        box = named(QComboBox(self), name, tooltip)
        narrow(box, width)
        return box

    def menu_action(
        self,
        name: str,
        text: str,
        tooltip: str,
        slot: Callable[[], object],
        menu: QMenu | None = None,
    ) -> QAction:
        """Add an entry to a menu, by default the one behind the three dots."""
        action = QAction(text, self)
        action.setObjectName(name)
        action.setToolTip(tooltip)
        action.triggered.connect(lambda: slot())
        if menu is None:
            self.menu_actions.append(action)
        else:
            menu.addAction(action)
        return action

    def menu_button(
        self, name: str, tooltip: str, text: str = "\u22ee"
    ) -> tuple[QToolButton, QMenu]:
        """Return a button that shows a menu, not laid out yet, and the menu."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        button = named(QToolButton(self), name, tooltip, text=text, menu=menu)
        button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button, menu

    def row(self, *stretched: tuple[QWidget, int] | QWidget) -> QHBoxLayout:
        """Lay controls out side by side, each with its share of the width, 1 if none is given."""
        row = QHBoxLayout()
        row.setSpacing(4)
        for each in stretched:
            widget, share = each if isinstance(each, tuple) else (each, 1)
            row.addWidget(widget, share)
        self.column.addLayout(row)
        return row

    def form(self, rows: dict[str, QWidget], indent: int = 0) -> None:
        """Lay controls out one below the other, each after its title."""
        form = QFormLayout()
        form.setContentsMargins(indent, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, widget in rows.items():
            form.addRow(title, widget)
        self.column.addLayout(form)

    def line(self, name: str, tooltip: str) -> QLineEdit:
        """Return a line to type in with an object name and a tooltip, not laid out yet."""
        return named(Line(self), name, tooltip)

    def with_browse(self, line: QLineEdit, title: str) -> QWidget:
        """Return a line with a button that asks for a folder."""
        holder = QWidget(self)
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        line.setAccessibleName(title)
        name, about = f"{line.objectName()}_browse", f"Choose: {title[0].lower()}{title[1:]}."
        browse = named(QToolButton(holder), name, about, text="...")
        browse.setAccessibleName(f"Choose: {title}")

        def ask() -> None:
            found = QFileDialog.getExistingDirectory(self, title, line.text())
            if found:
                line.setText(found)

        browse.clicked.connect(lambda: ask())
        row.addWidget(line, 1)
        row.addWidget(browse)
        return holder

    def shortcut(self, key: str, slot: Callable[[], object]) -> QShortcut:
        """Bind a key, wherever in the window the focus is."""
        shortcut = QShortcut(QKeySequence(key), self)
        shortcut.activated.connect(lambda: slot())
        return shortcut


class CollapsibleSection(QWidget):
    """A section under a heading that shows and hides it."""

    def __init__(self, section: Section, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.section = section
        self.heading = QToolButton(self)
        self.heading.setObjectName(f"fold_{section.objectName() or section.title.lower()}")
        self.heading.setText(section.title)
        self.heading.setToolTip(section.about or f"Show or hide {section.title}.")
        self.heading.setCheckable(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setStyleSheet(
            "QToolButton, QToolButton:checked { background: transparent; border: none; }"
        )
        self.heading.toggled.connect(self._set_expanded)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.heading)
        column.addWidget(section)
        self._laid_out = timer(self, 0, self._scroll_into_view)
        section.expand_requested.connect(self._expand)
        self._set_expanded(False)

    def _set_expanded(self, shown: bool) -> None:
        self.heading.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.section.setVisible(shown)
        if shown:  # in a low window it would unfold below what is in view
            self._laid_out.start()

    def _expand(self) -> None:
        self.heading.setChecked(True)
        self._laid_out.start()

    def _scroll_into_view(self) -> None:
        above: QWidget | None = self.section
        while above is not None and not isinstance(above, QScrollArea):
            # Laid out now, or it would be scrolled to where the section was.
            QApplication.sendPostedEvents(above, QEvent.Type.LayoutRequest.value)
            above = above.parentWidget()
        if above is not None:
            above.ensureWidgetVisible(self.section)


class ToolGroup(Section):
    """Collapsible sections under one heading, so that few controls are in view at first."""

    title: ClassVar[str] = "More tools"
    about: ClassVar[str] = "Show or hide the tools for name lists, stacks, batches and review."
    page: ClassVar[str] = "widget.md#controls"

    def build(self) -> None:
        """Make what belongs to no section; see `add`."""
        self.setObjectName("tools")
        self.setToolTip(self.about)
        self.column.setContentsMargins(10, 0, 0, 0)
        brush = self.check_box(
            "screen_brush",
            "Brush size follows the zoom",
            "On: the brush paints fewer pixels after zooming in, for example for the tip of an\n"
            "ear. Off: it paints the same pixels at every zoom, as napari does.",
            self.controller.screen_brush.switch,
        )
        self.column.addWidget(brush)

    def add(self, section: Section) -> None:
        """Add a section, folded."""
        # The group unfolds first, so that the section is what is scrolled to in the end.
        section.expand_requested.connect(self.expand_requested)
        self.column.addWidget(CollapsibleSection(section, self))


def narrow(box: QComboBox, width: int = 6) -> None:
    """Keep long entries of a box from widening the dock."""
    box.setMinimumContentsLength(width)
    box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)


def timer(parent: QWidget, milliseconds: int, slot: Callable[[], object]) -> QTimer:
    """Return a timer that fires once after the last of several starts."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(lambda: slot())
    return timer
