"""The class names: typed, suggested, listed."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.names.familiarity import MODEL_WITH_TABLE, class_familiarity
from napari_wildseg.gui.controls.bars import SuggestionBar
from napari_wildseg.gui.controls.class_table import ClassTable
from napari_wildseg.gui.sections.section import Section


def unfamiliar(classes: Sequence[ClassInfo], model: str) -> dict[int, str]:
    """Return a sentence for each class to mark, by its id."""
    if model != MODEL_WITH_TABLE:
        return {}
    found = {info.id: class_familiarity(info).notice for info in classes}
    return {number: notice for number, notice in found.items() if notice}


class NamesSection(Section):
    """The line to type names in, suggestions, and the class table."""

    page: ClassVar[str] = "labels.md#typing-names"

    def build(self) -> None:
        """Make the controls and connect them."""
        controller = self.controller
        self.new_class = self.line(
            "new_class",
            "Type class names, separated by commas, and press Enter, for example: cat, sofa.\n"
            "name=prompt|prompt asks the model for the prompts instead of the name.",
        )
        self.new_class.setAccessibleName("New class names")
        self.new_class.setPlaceholderText("cat, cup of coffee=cup|mug")
        self.new_class.setClearButtonEnabled(True)
        self.new_class.returnPressed.connect(self.enter)
        self.suggest = self.button(
            "suggest",
            "Suggest",
            "Look for names that fit the image and list them below.",
            controller.suggest,
        )
        self.suggestions = SuggestionBar(self)
        self.suggestions.chosen.connect(controller.add_classes)
        self.suggestions.hovered.connect(controller.name_highlight.show)
        controller.suggested.connect(self.suggestions.show_names)

        self.table = ClassTable(self)
        self.table.setToolTip("The classes: click one to paint with it.")
        self.table.picked.connect(controller.pick_class)
        self.table.removal_requested.connect(controller.remove_class)
        self.table.classes.rename_requested.connect(controller.rename_class)
        self.table.classes.visibility_requested.connect(controller.show_class)
        self.table.classes.lock_requested.connect(controller.lock_class)
        controller.class_picked.connect(self.table.select_class)
        for number in range(10):
            self.shortcut(f"Alt+{number}", partial(self._pick, number))
        controller.classes_changed.connect(self._show_classes)

        self.same_classes = self.check_box(
            "same_classes",
            "Same classes for all images",
            "Keep one class list for every image, so that label 1 means the same in every file,\n"
            "for example: 1 cat, 2 dog. Off: each image has a list of its own.",
            controller.keep_classes,
        )
        self.row(self.new_class, (self.suggest, 0))
        self.column.addWidget(self.table, 1)
        self.column.addWidget(self.suggestions)  # below: the table stays where it is
        self.column.addWidget(self.same_classes)
        self._add_menu_actions()

    def _add_menu_actions(self) -> None:
        self.menu_action(
            "show_relevance",
            "Show where the model sees the class",
            "How strongly each place speaks for the selected class (its relevance map), as an\n"
            "image layer: bright on a cat, for example.",
            self._show_relevance,
        )
        self.menu_action(
            "change_colour",
            "Change colour of the class ...",
            "Choose another colour for the selected class.",
            self._change_colour,
        )
        self.menu_action(
            "remove_class",
            "Remove the class",
            "Take the selected class out; its pixels become background.",
            self._remove_class,
        )

    def _pick(self, number: int) -> None:
        """Paint with the class of a row, counted from 1; 0 is the background."""
        row = number - 1 if number else len(self.controller.classes)
        label = self.table.classes.label_at(row) if number <= len(self.controller.classes) else None
        if label is not None:
            self.controller.pick_class(label)
            self.table.select_class(label)

    def enter(self) -> bool:
        """Add the names in the line."""
        text = self.new_class.text()
        if not text.strip():
            return True
        added = self.controller.add_classes(text)
        if added:
            self.new_class.clear()
        return added

    def show_areas(self) -> None:
        """Show which share of the image each class covers."""
        self.table.classes.show_areas(self.controller.areas())
        self._update_same_classes()

    def _update_same_classes(self) -> None:
        """Show the switch once there is something that the next image could disagree with."""
        sessions = list(self.controller.sessions)
        several = len(sessions) > 1 or any(session.tracked for session in sessions)
        self.same_classes.setVisible(several and bool(self.controller.classes))

    def _show_classes(self) -> None:
        session = self.controller.session
        hidden = frozenset() if session is None else session.hidden
        notices = unfamiliar(self.controller.classes, self.controller.model)
        locked = frozenset() if session is None else session.locked
        self.table.classes.show(self.controller.classes, hidden, notices, locked)
        self.table.select_class(self.controller.selected_class)
        self._update_same_classes()
        self.suggestions.show_names([] if session is None else session.suggestions)
        self.suggestions.mark(info.name for info in self.controller.classes)

    def _current(self) -> ClassInfo | None:
        info = self.table.current_class()
        if info is None:
            self.controller.status.emit("Pick a class in the table first.")
        return info

    def _show_relevance(self) -> None:
        if (info := self._current()) is not None:
            self.controller.relevance_maps.show(info.id)

    def _change_colour(self) -> None:
        if (info := self._current()) is None:
            return
        colour = QColorDialog.getColor(QColor(*info.colour), self, f"Colour of {info.name}")
        if colour.isValid():
            red, green, blue, _ = colour.getRgb()
            self.controller.recolour_class(info.id, (red, green, blue))

    def _remove_class(self) -> None:
        if (info := self._current()) is not None:
            self.controller.remove_class(info.id)
