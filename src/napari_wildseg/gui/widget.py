"""The dock widget: its layout, and which control asks the controller for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QAction, QColor, QKeySequence
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QMessageBox,
    QPushButton,
    QShortcut,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui import export, models, notices
from napari_wildseg.gui.bars import LeftOverBar, SuggestionBar
from napari_wildseg.gui.class_table import ClassTable
from napari_wildseg.gui.controller import Controller

if TYPE_CHECKING:
    from napari import Viewer

AUTO_SEGMENT_KEY = "Alt+A"
REFINE_KEY = "Alt+R"
CONFIRM_KEY = "Alt+K"
"""Free in napari, whose own Alt shortcuts are Alt+C, S, T and the initials of its menus."""


class WildsegWidget(QWidget):
    """Type class names, get editable masks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer the widget is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands plugins a proxy, and through it a new proxy of a layer at each look. State
        # is kept per layer object, so the objects themselves are needed; only their public side
        # is used.
        self._viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.controller = Controller(self._viewer)
        self._make_controls()
        self._lay_out()
        self._connect()
        self.reset_choices()
        self._show_classes()
        self.controller.say_what_next()

    # ------------------------------------------------------------------ controls

    def _make_controls(self) -> None:
        self._image = ComboBox(choices=self._image_choices, nullable=True, name="image")
        self._image.native.setObjectName("image")
        self._image.tooltip = (
            "The image to segment, as it is displayed. Of a stack, the plane in view is segmented; "
            "additive channels on the same spot are taken together."
        )
        self.model = QComboBox(self)
        self.model.setObjectName("model")
        self.model.setEditable(True)
        self.model.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.model.addItems(models.choices(self.controller.model))
        self.model.setCurrentText(self.controller.model)
        self.model.setToolTip(
            "The image-text model. The starter is built in and needs no download; it is loaded\n"
            "when it is first used. Other model strings can be typed: NAME/TAG of open_clip,\n"
            "local-dir:FOLDER or the path of a checkpoint."
        )
        for box in (self._image.native, self.model):
            # A long layer name must not widen the dock.
            box.setMinimumContentsLength(6)
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setSizeAdjustPolicy(box.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

        self.table = ClassTable(self)
        self.table.setToolTip("The classes: click one to paint with it.")

        self.new_class = QLineEdit(self)
        self.new_class.setObjectName("new_class")
        self.new_class.setPlaceholderText("cat, cup of coffee=cup|mug")
        self.new_class.setClearButtonEnabled(True)
        self.new_class.setToolTip(
            "Type class names, separated by commas, and press Enter.\n"
            "name=prompt|prompt asks the model for the prompts instead of the name."
        )
        self.suggest = self._button(
            "suggest", "Suggest", "Look for names that fit the image and list them below."
        )
        self.suggestions = SuggestionBar(self)

        self.auto_segment = self._button(
            "auto_segment",
            "Auto-segment",
            f"Find the classes in the image ({AUTO_SEGMENT_KEY}). Corrections are kept.",
        )
        self.cancel = self._button(
            "cancel", "Cancel", "Stop the run; nothing is changed.", enabled=False
        )

        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal, self)
        self.threshold.setObjectName("threshold")
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setSingleStep(0.01)  # type: ignore[arg-type]
        self.threshold.setDecimals(2)
        self.threshold.setValue(self.controller.threshold)
        self.threshold.setToolTip(
            "How sure the model must be of a pixel. Lower labels more pixels,\n"
            "higher leaves more of them to the refinement."
        )
        self.refine_at_once = QCheckBox("Refine at once", self)
        self.refine_at_once.setObjectName("refine_at_once")
        self.refine_at_once.setChecked(self.controller.refine_at_once)
        self.refine_at_once.setToolTip(
            "Go on to refined labels directly. Off: the rough pseudo-labels are shown first, "
            "to be corrected before Refine; grey pixels are not sure."
        )

        self.refine = self._button(
            "refine",
            "Refine",
            f"Redo the labels from what you painted ({REFINE_KEY}). Every painted pixel is kept;\n"
            "Ctrl+Z in the labels layer brings back the state before.",
        )
        self.confirm_region = self._button(
            "confirm_region",
            "Confirm",
            "Keep the selected class as it is: Refine will not change its pixels.\n"
            f"{CONFIRM_KEY} confirms only the region under the mouse cursor.",
        )
        self.export = self._button(
            "export",
            "Export ...",
            "Save the labels in view as an indexed PNG with a JSON sidecar that names the classes.",
        )
        self.more = QToolButton(self)
        self.more.setObjectName("more")
        self.more.setText("\u22ee")
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more.setToolTip("More: relevance map, colour, releasing corrections.")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._menu())

        self.left_over = LeftOverBar(self)

        self.status = QLabel(self)
        self.status.setObjectName("status")
        self.status.setWordWrap(True)
        self.status.setToolTip("What happens now, or what to do next.")
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        # Room for four lines, so that a longer sentence does not push the controls about.
        self.status.setMinimumHeight(4 * self.status.fontMetrics().lineSpacing() + 4)

    def _button(self, name: str, text: str, tooltip: str, *, enabled: bool = True) -> QPushButton:
        button = QPushButton(text, self)
        button.setObjectName(name)
        button.setToolTip(tooltip)
        button.setEnabled(enabled)
        return button

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for name, text, tooltip, slot in (
            (
                "auto_segment_planes",
                "Auto-segment all planes of the stack",
                "Find the classes in every plane, one after the other; Cancel stops in between.",
                self.controller.auto_segment_planes,
            ),
            (
                "show_relevance",
                "Show relevance map of the class",
                "Where the model sees the selected class, as an image layer.",
                self._on_show_relevance,
            ),
            (
                "change_colour",
                "Change colour of the class ...",
                "Choose another colour for the selected class.",
                self._on_change_colour,
            ),
            (
                "remove_class",
                "Remove the class",
                "Take the selected class out; its pixels become background.",
                self._on_remove_class,
            ),
            (
                "confirm_at_cursor",
                f"Confirm region under the cursor ({CONFIRM_KEY})",
                "Keep the connected region under the mouse cursor as it is.",
                self.controller.confirm_at_cursor,
            ),
            (
                "release_corrections",
                "Release all corrections in view",
                "Let the next Refine decide every pixel again.",
                self.controller.release_corrections,
            ),
        ):
            if name == "confirm_at_cursor":
                menu.addSeparator()
            action = QAction(text, menu)
            action.setObjectName(name)
            action.setToolTip(tooltip)
            action.triggered.connect(lambda _=False, slot=slot: slot())
            menu.addAction(action)
        return menu

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self._image.native)
        form.addRow("Model", self.model)

        names = QHBoxLayout()
        names.setSpacing(4)
        names.addWidget(self.new_class, 1)
        names.addWidget(self.suggest)

        run = QHBoxLayout()
        run.setSpacing(4)
        run.addWidget(self.auto_segment, 2)
        run.addWidget(self.cancel, 1)

        level = QFormLayout()
        level.setContentsMargins(0, 0, 0, 0)
        level.addRow("Threshold", self.threshold)

        edit = QGridLayout()
        edit.setSpacing(4)
        edit.addWidget(self.refine, 0, 0)
        edit.addWidget(self.confirm_region, 0, 1)
        edit.addWidget(self.export, 0, 2)
        edit.addWidget(self.more, 0, 3)
        for place in range(3):
            edit.setColumnStretch(place, 1)

        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addLayout(form)
        column.addWidget(self.left_over)
        column.addLayout(names)
        column.addWidget(self.suggestions)
        column.addWidget(self.table, 1)
        column.addLayout(run)
        column.addLayout(level)
        column.addWidget(self.refine_at_once)
        column.addLayout(edit)
        column.addWidget(self.status)
        self.setMinimumWidth(230)

    def _connect(self) -> None:
        controller = self.controller
        self._image.changed.connect(self._on_image_chosen)
        self.model.activated.connect(lambda _: self._on_model_chosen())
        editor = self.model.lineEdit()
        assert editor is not None
        editor.editingFinished.connect(self._on_model_chosen)
        self.new_class.returnPressed.connect(self._on_names_entered)
        self.suggest.clicked.connect(lambda: controller.suggest())
        self.suggestions.chosen.connect(controller.add_classes)
        self.auto_segment.clicked.connect(lambda: self._on_auto_segment())
        self.cancel.clicked.connect(lambda: controller.cancel())
        self.refine.clicked.connect(lambda: controller.refine())
        self.confirm_region.clicked.connect(lambda: controller.confirm_class())
        self.export.clicked.connect(lambda: self.export_labels())
        self.refine_at_once.toggled.connect(self._on_refine_at_once)
        self.threshold.valueChanged.connect(self._on_threshold)
        self._settle = _timer(self, 250)
        self._settle.timeout.connect(controller.settle_threshold)
        self._count = _timer(self, 60)
        self._count.timeout.connect(self._show_areas)
        self.table.picked.connect(controller.pick_class)
        self.table.removal_asked.connect(controller.remove_class)
        self.table.classes.rename_asked.connect(controller.rename_class)
        self.table.classes.visibility_asked.connect(controller.show_class)

        self.left_over.restore.clicked.connect(lambda: controller.restore_left_over())
        self.left_over.discard.clicked.connect(lambda: controller.discard_left_over())
        controller.status.connect(self._show_status)
        controller.runner.busy.connect(self._show_busy)
        controller.classes_changed.connect(self._show_classes)
        controller.areas_changed.connect(self._count_soon)
        controller.suggested.connect(self._show_suggestions)
        controller.class_picked.connect(self.table.select_class)

        for key, slot in (
            (AUTO_SEGMENT_KEY, self._on_auto_segment),
            (REFINE_KEY, controller.refine),
            (CONFIRM_KEY, controller.confirm_at_cursor),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.activated.connect(lambda slot=slot: slot())

        # napari connects `reset_choices` for widgets it docks; this one may also be made from a
        # script, so it connects itself.
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self.reset_choices)
        self.destroyed.connect(controller.shut_down)

    # ------------------------------------------------------------------ image and model

    def _image_choices(self, _widget: object = None) -> list[tuple[str, Image]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image) and layer.metadata.get("wildseg") != "relevance"
        ]

    def reset_choices(self, event: object = None) -> None:
        """List the images there are now; the chosen one stays chosen, whatever its name."""
        chosen = self.controller.image
        layers = [layer for _, layer in self._image_choices()]
        with self._image.changed.blocked():
            self._image.reset_choices()
            if chosen not in layers:
                chosen = layers[-1] if layers else None
            self._image.value = chosen
        self.controller.choose_image(chosen)

    def _on_image_chosen(self, layer: Image | None) -> None:
        self.controller.choose_image(layer)

    def _on_model_chosen(self) -> None:
        name = self.model.currentText().strip() or models.OFFERED[0]
        self.model.setCurrentText(name)
        if name != self.controller.model:
            self.controller.model = name
            self._show_status(f"The next Auto-segment uses {name}.")

    # ------------------------------------------------------------------ classes

    def _on_names_entered(self) -> bool:
        text = self.new_class.text()
        if not text.strip():
            return True
        added = self.controller.add_classes(text)
        if added:
            self.new_class.clear()
        return added

    def _show_classes(self) -> None:
        session = self.controller.session
        hidden = frozenset() if session is None else session.hidden
        self.table.classes.show(self.controller.classes, hidden)
        self.table.select_class(self.controller.selected_class)
        self.suggestions.show_names([] if session is None else session.suggestions)
        self.left_over.offer([] if session is None else session.left_over)
        self._count_soon()

    def _show_suggestions(self, names: list[tuple[str, float | None]]) -> None:
        self.suggestions.show_names(names)

    def _count_soon(self) -> None:
        if not self._count.isActive():
            self._count.start()

    def _show_areas(self) -> None:
        self.controller.safekeeping.write()
        self.table.classes.show_areas(self.controller.areas())

    # ------------------------------------------------------------------ running

    def _on_auto_segment(self) -> None:
        # A name that was typed but not entered is meant.
        if self._on_names_entered():
            if not self.controller.classes and self.controller.image is not None:
                self.new_class.setFocus()
            self.controller.auto_segment()

    def _on_threshold(self, value: float) -> None:
        self.controller.set_threshold(value)
        self._settle.start()

    def _on_refine_at_once(self, checked: bool) -> None:
        self.controller.refine_at_once = checked
        self.controller.apply_visibility()

    def _show_busy(self, busy: bool) -> None:
        self.cancel.setEnabled(busy)

    def _show_status(self, message: str) -> None:
        self.status.setText(message)

    # ------------------------------------------------------------------ menu and export

    def _on_show_relevance(self) -> None:
        if (info := self.table.current_class()) is None:
            self._show_status("Pick a class in the table first.")
        else:
            self.controller.show_relevance(info.id)

    def _on_change_colour(self) -> None:
        info = self.table.current_class()
        if info is None:
            self._show_status("Pick a class in the table first.")
            return
        colour = QColorDialog.getColor(QColor(*info.colour), self, f"Colour of {info.name}")
        if colour.isValid():
            red, green, blue, _ = colour.getRgb()
            self.controller.recolour_class(info.id, (red, green, blue))

    def _on_remove_class(self) -> None:
        if (info := self.table.current_class()) is None:
            self._show_status("Pick a class in the table first.")
        else:
            self.controller.remove_class(info.id)

    def export_labels(self) -> list[Path]:
        """Ask for a file name and write the labels in view.

        Returns
        -------
        list of Path
            The files written; empty if the annotator changed their mind.
        """
        session, plane = self.controller.session, self.controller.plane
        if session is None or plane is None or not any(session.label_layers()):
            self._tell("There is nothing to export yet: press Auto-segment first.")
            return []
        folder = getattr(self, "_export_folder", Path.home())
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Export labels",
            str(folder / export.suggested_name(session, plane)),
            export.FILTERS,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return []
        path = Path(name)
        self._export_folder = path.parent
        try:
            path = export.with_ending(path)
            there = export.existing(path)
            if there and not self._may_replace(there):
                return []
            written = export.save(session, plane, path, overwrite=bool(there))
        except WildsegError as error:
            self._tell(str(error))
            return []
        self.controller.safekeeping.forget(session, plane)
        names = " and ".join(p.name for p in written)
        self._show_status(f"Exported {names} to {path.parent}.")
        return written

    def _may_replace(self, files: list[Path]) -> bool:
        names = ", ".join(p.name for p in files)
        answer = QMessageBox.question(self, "Export labels", f"Replace {names}?")
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _tell(self, message: str) -> None:
        self._show_status(message)
        notices.warn(message)


def _timer(parent: QWidget, milliseconds: int) -> QTimer:
    """Return a timer that fires once after the last of several starts."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer
