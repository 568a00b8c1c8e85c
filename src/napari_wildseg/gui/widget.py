"""The dock widget: its sections, one under the other, and the state line."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any

from napari import Viewer
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from napari_wildseg.gui import compat
from napari_wildseg.gui.actions.controller import Controller
from napari_wildseg.gui.controls.focus import FocusMark, tab_in_reading_order
from napari_wildseg.gui.controls.font_size import FontSize
from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.export import has_labels
from napari_wildseg.gui.help import HELP_KEY, find_topic, open_page, page_for
from napari_wildseg.gui.sections import EXTRA
from napari_wildseg.gui.sections.edit_section import EditSection
from napari_wildseg.gui.sections.export_section import ExportSection
from napari_wildseg.gui.sections.image_section import ImageSection
from napari_wildseg.gui.sections.memory_section import MemorySection
from napari_wildseg.gui.sections.names_section import NamesSection
from napari_wildseg.gui.sections.objects_section import ObjectsSection
from napari_wildseg.gui.sections.run_section import RunSection
from napari_wildseg.gui.sections.section import CollapsibleSection, Section, ToolGroup, timer
from napari_wildseg.gui.sections.welcome_section import WelcomeSection

WARNING_COLOURS = "QLabel { background: #ffd166; color: #1a1a1a; }"
"""Black on amber: contrast 11 to 1 in napari's dark theme and in its light one."""


_WIDGETS: weakref.WeakSet[WildsegWidget] = weakref.WeakSet()


class _Sections(QScrollArea):
    """Scrolls up and down only, so it is never narrower than what is in it."""

    def eventFilter(  # noqa: N802 - Qt's name
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Follow the least width of what is in it, for example when letters grow."""
        inner, bar = self.widget(), self.verticalScrollBar()
        laid_out = event is not None and event.type() == QEvent.Type.LayoutRequest
        if laid_out and inner is not None and watched is inner and bar is not None:
            beside = bar.sizeHint().width() + 2  # napari's style sheet adds a pixel on each side
            self.setMinimumWidth(inner.minimumSizeHint().width() + beside)
        return super().eventFilter(watched, event)


class WildsegWidget(QWidget):
    """Type class names, get editable masks."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands plugins a proxy, and through it a new proxy of a layer at each look. State
        # is kept per layer object, so the objects themselves are needed; only their public side
        # is used.
        viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        for other in list(_WIDGETS):
            other.release_viewer(viewer)
        _WIDGETS.add(self)
        compat.install(viewer)
        self.controller = controller = Controller(viewer)
        self.welcome = WelcomeSection(controller, self)
        self.image = ImageSection(controller, self)
        self.names = NamesSection(controller, self)
        self.run = RunSection(controller, self)
        self.edit = EditSection(controller, self)
        self.objects = ObjectsSection(controller, self)
        self.memory = MemorySection(controller, self)
        self.export = ExportSection(controller, self)
        self.extra = [make(controller, self) for make in EXTRA]
        self.status = self._state_line()
        self.help = self._help_button()
        self._lay_out()
        self.font_size = FontSize(self)
        self.focus_mark = FocusMark(self)
        tab_in_reading_order(self)
        self.names.suggestions.changed.connect(lambda: tab_in_reading_order(self))

        self.run.auto_segment_requested.connect(self._auto_segment)
        self._count = timer(self, 60, self._update_counts)
        controller.areas_changed.connect(self._schedule_count)
        controller.classes_changed.connect(self._schedule_count)
        controller.status.connect(self._show_status)
        controller.warned.connect(self._show_warning)
        # napari connects `reset_choices` for widgets it docks; this one may also be made from a
        # script, so it connects itself.
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self.reset_choices)
        self.destroyed.connect(self.font_size.stop)
        self.destroyed.connect(controller.shut_down)

        self.reset_choices()
        controller.classes_changed.emit()
        self._update_sections()
        controller.show_next_step()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Start the engine process, so that the first run finds it ready."""
        super().showEvent(event)
        if self.controller.settings.prepare and not self.controller.closed:
            self.controller.start_engine()

    def release_viewer(self, viewer: Viewer) -> None:
        """Disconnect from the viewer if the dock was closed, since another widget takes over.

        napari keeps a widget of a closed dock while it is referenced.
        """
        with suppress(RuntimeError):  # Qt has deleted it
            if self.parent() is None and not self.isVisible() and self.controller.viewer is viewer:
                self.controller.shut_down()

    def reset_choices(self, event: Any = None) -> None:
        """List the images there are now; napari calls this when layers come and go."""
        self.image.reset_choices()
        if getattr(event, "type", "") == "inserted":
            self.image.on_image_inserted(event.value)

    def _state_line(self) -> QLabel:
        status = named(
            QLabel(self),
            "status",
            "What happens now, or what to do next.",
            accessibleName="State",
            wordWrap=True,
            textFormat=Qt.TextFormat.PlainText,
            textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse,
            alignment=Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft,
        )
        # Room for four lines, so that a longer sentence does not push the controls about.
        status.setMinimumHeight(4 * status.fontMetrics().lineSpacing() + 4)
        return status

    def _help_button(self) -> QPushButton:
        button = named(QPushButton(self), "help", flat=True)
        button.clicked.connect(lambda: self._open_help(explained=True))
        shortcut = QShortcut(QKeySequence(HELP_KEY), self)
        shortcut.activated.connect(lambda: self._open_help(explained=False))
        return button

    def _lay_out(self) -> None:
        loop: tuple[Section, ...] = (
            self.welcome,
            self.image,
            self.names,
            self.run,
            self.edit,
            self.objects,
            self.memory,
            self.export,
        )
        sections = QWidget(self)
        inner = QVBoxLayout(sections)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        for section in loop:
            inner.addWidget(section, 1 if section is self.names else 0)
        tools = ToolGroup(self.controller, sections)
        for extra in self.extra:
            tools.add(extra)
        inner.addWidget(CollapsibleSection(tools, sections))
        # Where the window is low, the sections scroll; the state line is always in view.
        scroll = _Sections(self)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it follows the control that has the focus
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(sections)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addWidget(scroll, 1)
        column.addWidget(self.status)
        column.addWidget(self.help, 0, Qt.AlignmentFlag.AlignLeft)
        self.edit.fill_menu(section.menu_actions for section in (*loop, *self.extra))
        self.run.run_row.addWidget(self.edit.more)

    def _auto_segment(self) -> None:
        # Names that were typed but not entered are added first.
        if self.names.enter():
            if not self.controller.classes and self.controller.image is not None:
                self.names.new_class.setFocus()
            self.controller.auto_segment()

    def _open_help(self, *, explained: bool) -> None:
        """Open the page on the message in the state line, or on the section with the focus."""
        about = find_topic(self.status.text()) if explained else None
        page = page_for(QApplication.focusWidget()) if about is None else about.page
        self.controller.status.emit(f"Opened in your browser: {open_page(page)}")

    def _update_help_button(self, message: str) -> None:
        about = find_topic(message)
        text = f"Help ({HELP_KEY})" if about is None else f"Help: {about.title}"
        self.help.setText(text)
        self.help.setToolTip(
            f"Open the page on these controls; {HELP_KEY} opens the one on the section you are in."
            if about is None
            else f"Open the page that explains this message: {about.title}."
        )

    def _schedule_count(self) -> None:
        if not self._count.isActive():
            self._count.start()

    def _update_counts(self) -> None:
        self.controller.autosave.write()
        self.names.show_areas()
        self._update_sections()

    def _update_sections(self) -> None:
        """Show the controls that need labels once there are some."""
        controller = self.controller
        labelled = any(has_labels(session) for session in controller.sessions)
        labelled = labelled or controller.opened.found() is not None
        for section in (self.run, self.edit, self.objects, self.export):
            section.offer(labelled)

    def _show_status(self, message: str) -> None:
        self.status.setText(message)
        self._update_help_button(message)
        if self.status.styleSheet():
            self.status.setStyleSheet("")

    def _show_warning(self, message: str) -> None:
        self.status.setText(message)
        self._update_help_button(message)
        self.status.setStyleSheet(WARNING_COLOURS)
