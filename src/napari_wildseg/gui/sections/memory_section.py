"""The line that says what was learned from earlier images, and what can be done about it."""

from pathlib import Path
from typing import ClassVar

from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QSizePolicy

from napari_wildseg.gui.actions.learned_classes import described
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.notices import pluralise
from napari_wildseg.gui.sections.section import Section

FILE_FILTER = "Class memories (*.wildmemory)"

_ABOUT = (
    "What finished and corrected images teach about the classes of the next ones.\n"
    "An image is remembered when it is exported, accepted in Review, or finished in this menu.\n"
    "Off: nothing is used and nothing is added."
)


class MemorySection(Section):
    """A switch with the number of images, and a menu."""

    page: ClassVar[str] = "memory.md#in-the-window"

    def build(self) -> None:
        """Make the controls and connect them."""
        memory = self.controller.memory
        self.switch = self.check_box("memory", "", "", memory.switch, on=memory.enabled)
        # In a narrow dock the end of the line is cut off, and nothing scrolls sideways.
        self.switch.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.switch.setMinimumWidth(150)
        self.more, self.menu = self.menu_button(
            "memory_more", "Finish or forget images, forget classes, memory files."
        )
        self.more.setAccessibleName("What was learned")
        self.finish = self.menu_action(
            "remember_image",
            "This image is finished",
            "Remember it with its labels as they are: all of them are right.",
            self._finish,
            self.menu,
        )
        self.alike = self.menu_action(
            "memory_alike",
            "The images are alike",
            "One finished image is then enough to learn from; else two are needed.",
            lambda: memory.set_alike(self.alike.isChecked()),
            self.menu,
        )
        self.alike.setCheckable(True)
        self.menu.addSeparator()
        self.forget_image = self.menu_action(
            "forget_image",
            "Forget this image",
            "What it taught is not used any more.",
            memory.forget_image,
            self.menu,
        )
        self.classes = QMenu("Forget a class", self.menu)
        self.classes.setObjectName("forget_class")
        self.classes.setToolTip("What any image taught about a class is not used any more.")
        self.menu.addMenu(self.classes)
        self.forget_all = self.menu_action(
            "forget_all",
            "Forget everything ...",
            "Start again without any image.",
            self._forget_all,
            self.menu,
        )
        self.menu.addSeparator()
        self.load = self.menu_action(
            "memory_load",
            "Start from a memory file ...",
            "Add what a file holds that was saved here or written by wildseg remember.",
            self._load,
            self.menu,
        )
        self.save = self.menu_action(
            "memory_save",
            "Save the memory ...",
            "Features and colours of patches of the images, no image; for another day, for a\n"
            "batch, or for another annotator.",
            self._save,
            self.menu,
        )
        self.row(self.switch, (self.more, 0))
        memory.changed.connect(self._show)
        self.controller.classes_changed.connect(self._update_visibility)
        self._show()

    def _show(self) -> None:
        memory = self.controller.memory
        known = memory.summary
        text = pluralise(known.images, "Learned from {n} [image|images]")
        text = text if known.images else "Learned from no image"
        self.switch.setText(f"{text} ..." if memory.learning else text)
        self.switch.setToolTip(plain("\n\n".join(filter(None, [described(known), _ABOUT]))))
        self.alike.setChecked(known.alike)
        for action in (self.forget_image, self.forget_all, self.save):
            action.setEnabled(known.images > 0)
        self.finish.setEnabled(memory.enabled)
        self.classes.setEnabled(bool(known.classes))
        self.classes.clear()
        for name, _, _ in known.classes:
            action = self.classes.addAction(name)
            if action is not None:
                action.triggered.connect(lambda _=False, name=name: memory.forget_class(name))

    def _update_visibility(self) -> None:
        """Show the line once there is an image to learn from, or something was learned."""
        self.setVisible(
            self.controller.image is not None or self.controller.memory.summary.images > 0
        )

    def _finish(self) -> None:
        controller = self.controller
        session, plane = controller.session, controller.plane
        if session is None or plane is None or not session.plane_state(plane).segmented:
            controller.notify("There are no labels to remember yet: press Auto-segment first.")
            return
        controller.memory.finish(session, (plane,))

    def _forget_all(self) -> None:
        images = self.controller.memory.summary.images
        question = pluralise(images, "Forget what {n} [image|images] taught? The labels stay.")
        answer = QMessageBox.question(self, "Class memory", question)
        if answer == QMessageBox.StandardButton.Yes:
            self.controller.memory.forget_all()

    def _load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Start from a memory file", "", FILE_FILTER)
        if name:
            self.controller.memory.load(Path(name))

    def _save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the memory", "", FILE_FILTER)
        if name:
            path = Path(name)
            self.controller.memory.save(path if path.suffix else path.with_suffix(".wildmemory"))
