"""Objects of the classes: split, cut, and their table."""

from typing import ClassVar

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.controls.objects_table import ObjectsTable
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.notices import pluralise
from napari_wildseg.gui.sections.section import Section


class ObjectsSection(Section):
    """One button at first; the rest appears with the objects."""

    page: ClassVar[str] = "objects.md#in-the-window"

    def build(self) -> None:
        """Make the controls and connect them."""
        controller = self.controller
        self.split = self.button(
            "split_objects",
            "Split into objects",
            "Give every object of a class an id of its own, for example each nucleus where\n"
            "several touch, in a layer beside the labels. It follows the labels from then on.",
            controller.objects.split,
        )
        self.cut = self.button(
            "cut_objects",
            "Cut",
            "Draw a line across an object, from edge to edge, to divide it in two.\n"
            "To merge, pick an id and paint across to its neighbour; M takes a new id.",
            self._toggle_cut,
        )
        self.cut.setCheckable(True)
        controller.objects.cut.changed.connect(lambda on: self.cut.setChecked(on))
        about = "Which classes are split. Sky, say, is one object: take its mark away."
        self.whole, self.menu = self.menu_button("objects_classes", about, "Classes")
        self.menu.aboutToShow.connect(self._fill_menu)
        self.row((self.split, 2), self.cut, (self.whole, 0))

        self.details = QWidget(self)
        line = QHBoxLayout(self.details)
        line.setContentsMargins(0, 0, 0, 0)
        self.count = named(QLabel(self.details), "objects_count")
        self.min_size = named(
            QSpinBox(self.details),
            "objects_min_size",
            "Objects of fewer pixels are left out, for example specks.",
            accessibleName="Smallest object",
            prefix="from ",
            suffix=" pixels",
            specialValueText="all sizes",  # of one pixel
            keyboardTracking=False,
        )
        self.min_size.setRange(1, 1_000_000)
        self.min_size.valueChanged.connect(controller.objects.set_min_size)
        line.addWidget(self.count, 1)
        line.addWidget(self.min_size)
        self.table = ObjectsTable(self)
        self.table.chosen.connect(controller.objects.show)
        self.column.addWidget(self.details)
        self.column.addWidget(self.table)
        controller.objects.picked.connect(self.table.select)
        controller.objects.changed.connect(self._show)
        self.menu_action(
            "release_objects",
            "Release the corrections of objects in view",
            "Let the split decide about every object again.",
            controller.objects.release,
        )
        self._show()

    def offer(self, labelled: bool) -> None:
        """Show the section once there are labels to split."""
        self.setVisible(labelled)

    def _toggle_cut(self) -> None:
        objects = self.controller.objects
        if self.cut.isChecked():
            objects.cut.activate(objects.layer(self.controller.session))
        else:
            objects.cut.deactivate()

    def _fill_menu(self) -> None:
        self.menu.clear()
        session = self.controller.session
        for info in () if session is None else session.classes:
            action = QAction(plain(info.name), self.menu)
            action.setCheckable(True)
            action.setChecked(session is not None and info.id not in session.objects.whole)
            action.toggled.connect(
                lambda on, number=info.id: self.controller.objects.set_whole(number, not on)
            )
            self.menu.addAction(action)

    def _show(self) -> None:
        """Show the objects of the plane in view."""
        controller = self.controller
        session, state = controller.session, controller.objects.state()
        there = controller.objects.layer(session) is not None
        for control in (self.cut, self.whole, self.details, self.table):
            control.setVisible(there)
        if session is None or not there:
            return
        self.min_size.blockSignals(True)
        self.min_size.setValue(session.objects.min_size)
        self.min_size.blockSignals(False)
        names = {info.id: info.name for info in session.classes}
        class_of = {} if state is None else state.class_of
        area = {} if state is None else state.area
        ids = list(class_of)
        self.count.setText(pluralise(len(ids), "{n} [object|objects]"))
        self.table.show_objects(
            ids, [names.get(class_of[n], "") for n in ids], [area.get(n, 0) for n in ids]
        )
