"""Labels out and back in: export, project files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.folders import no_folder
from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui import export, state
from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.layer_files import labels_of_sidecar, read_as_shown
from napari_wildseg.gui.layers.display import planes_like
from napari_wildseg.gui.notices import counted, listed
from napari_wildseg.gui.sections.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wildseg.engine.progress import Steps
    from napari_wildseg.gui.annotation.session import ImageSession
    from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
    from napari_wildseg.gui.export import Choice, Item
    from napari_wildseg.gui.layers.display import Plane
    from napari_wildseg.io import Project

PROJECTS = "Project (*.wildseg)"
LABEL_FILES = "Projects and label files (*.wildseg *.png *.tif *.tiff *.npz *.json *.txt)"


class ExportSection(Section):
    """The export button, what it asks, and project files in the menu."""

    def build(self) -> None:
        """Make the controls."""
        self._choice = export.Choice("png", Path.home())
        self.export = self.button(
            "export",
            "Export ...",
            "Save labels as files that training code reads: choose the format, the folder,\n"
            "the file names and which images.",
            self.export_labels,
        )
        self.column.addWidget(self.export)
        self.menu_action(
            "save_project",
            "Save project ...",
            "Save classes, prompts, settings, pseudo-labels, corrections and labels of this image\n"
            "in one file, to go on another day or on another machine.",
            self.save_project,
        )
        self.menu_action(
            "open_project",
            "Open project or labels ...",
            "Go on with a project on this image; any label file will do.",
            self.open_project,
        )

    # ------------------------------------------------------------------ export

    def export_labels(self) -> None:
        """Ask what to export and write it, in the background."""
        controller = self.controller
        ready = [s for s in controller.sessions if export.has_labels(s)]
        session, plane = controller.session, controller.plane
        if session is None or plane is None or not ready:
            controller.tell("There is nothing to export yet: press Auto-segment first.")
            return
        if not self._free():
            return
        image = session.image
        planes = 1 if image is None else len(planes_like(image, plane))
        dialog = ExportDialog(
            self._choice, self._preview, images=len(ready), planes=planes, parent=self
        )
        choice = dialog.ask()
        dialog.deleteLater()
        if choice is None:
            return
        self._choice = choice
        try:
            items = self._plan(choice)
            there = export.existing(choice, items)
        except WildsegError as error:
            controller.tell(str(error))
            return
        if there and not self._may_replace(there):
            return
        controller.runner.run(
            "Export",
            image,
            partial(export.write_steps, choice, items, overwrite=bool(there)),
            partial(self._exported, items, choice.folder),
        )

    def _plan(self, choice: Choice) -> list[Item]:
        controller = self.controller
        one = [] if controller.session is None else [controller.session]
        sessions = list(controller.sessions) if choice.all_images else one
        return export.plan(choice, sessions, controller.plane, controller.viewer.layers)

    def _preview(self, choice: Choice) -> tuple[str, bool]:
        """Say what a choice would write, without copying any labels."""
        session, plane = self.controller.session, self.controller.plane
        if choice.folder == Path():
            return "Choose the folder.", False
        if session is None or not choice.folder.is_dir():
            return f"{no_folder(choice.folder)}.", False
        if choice.format == "yolo" and choice.unlabelled == "keep":
            return "YOLO has no unlabelled pixels: choose what becomes of them, if any.", True
        try:
            name = export.name_of(choice, session, plane)
        except WildsegError as error:
            return str(error), False
        if choice.format in export.DATA_SETS:
            return f"Adds {name} to the data set in this folder, or starts one.", True
        path = choice.folder / (name + export.ending_of(choice.format))
        files = listed([file.name for file in export.files_of(choice.format, path)])
        many = choice.all_images or choice.all_planes
        return f"Writes {files}{', for example' if many else ''}.", True

    def _exported(self, items: list[Item], folder: Path, written: list[Path]) -> None:
        for item in items:
            item.session.note_saved(item.edits)
            for plane in item.planes:
                kept = partial(item.kept, plane)
                self.controller.safekeeping.exported(item.session, plane, kept)
        self.controller.safekeeping.write()
        for item in items:
            self.controller.memory.finish(item.session, item.planes)
        files = list(dict.fromkeys(written))
        names = listed([p.name for p in files], 2)
        self.controller.status.emit(f"Exported {names} to {folder}.")

    # ------------------------------------------------------------------ projects

    def save_project(self) -> None:
        """Ask for a file name and write the project, in the background."""
        controller, session = self.controller, self.controller.session
        if session is None or not export.has_labels(session):
            controller.tell("There is nothing to save yet: press Auto-segment first.")
            return
        if not self._free():
            return
        stem = export.name_of(export.Choice("png", Path(), "{image}"), session)
        name, _ = QFileDialog.getSaveFileName(
            self, "Save project", str(self._choice.folder / f"{stem}.wildseg"), PROJECTS
        )
        if not name:
            return
        # The file dialog has asked about a file of this very name, and no other.
        path, asked = Path(name), True
        if path.suffix.lower() != ".wildseg":
            path, asked = path.with_name(path.name + ".wildseg"), False
            if path.exists() and not (asked := self._may_replace([path])):
                return
        self._choice = replace(self._choice, folder=path.parent)
        edits = session.edits()
        try:
            project = state.take_down(controller, session)
        except WildsegError as error:
            controller.tell(str(error))
            return
        controller.runner.run(
            "Save project",
            session.image,
            partial(_save_steps, path, project, asked),
            partial(self._saved, session, session.touched(), edits, project),
        )

    def _saved(
        self,
        session: ImageSession,
        planes: list[Plane],
        edits: Mapping[TrackedLayer, int],
        project: Project,
        path: Path,
    ) -> None:
        self._note_in_file(session, planes, edits, project)
        self.controller.status.emit(f"Saved {path.name} to {path.parent}.")

    def _note_in_file(
        self,
        session: ImageSession,
        planes: list[Plane],
        edits: Mapping[TrackedLayer, int],
        project: Project,
    ) -> None:
        session.note_saved(edits)
        for plane in planes:
            kept = partial(state.corrections_in, project, plane)
            self.controller.safekeeping.exported(session, plane, kept)
        self.controller.safekeeping.write()

    def open_project(self) -> None:
        """Ask for a project or label file and go on with it on the chosen image."""
        controller, session = self.controller, self.controller.session
        if session is None:
            controller.tell("Open the image first, then its project.")
            return
        if not self._free():
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "Open project or labels", str(self._choice.folder), LABEL_FILES
        )
        if not name:
            return
        if export.has_labels(session) and not self._may_take_over(session):
            return
        self._choice = replace(self._choice, folder=Path(name).parent)
        controller.runner.run(
            "Open project",
            session.image,
            partial(_open_steps, Path(name)),
            partial(self._opened, session),
        )

    def _opened(self, session: ImageSession, project: Project) -> None:
        controller = self.controller
        image = session.image
        if image is None or image not in controller.viewer.layers:
            return
        other = state.is_of_another_image(project, image)
        controller.safekeeping.set_aside(session)
        state.put_back(controller, session, project)
        self._note_in_file(session, session.touched(), session.edits(), project)
        corrections = project.labels.corrections
        kept = 0 if corrections is None else int((corrections >= 0).sum())
        warning = " Its image had other pixels: check that it is the right one." if other else ""
        classes = counted(len(session.classes), "class", "classes")
        pixels = counted(kept, "corrected pixel", "corrected pixels")
        said = "".join(f" {notice}" for notice in project.labels.notices)
        controller.status.emit(f"Opened: {classes}, {pixels}.{warning}{said}")

    # ------------------------------------------------------------------ asking

    def _free(self) -> bool:
        if self.controller.runner.running:
            self.controller.tell("Wait for the run to end, or cancel it first.")
            return False
        return True

    def _may_replace(self, files: list[Path]) -> bool:
        answer = QMessageBox.question(
            self, "Export labels", plain(f"Replace {listed([p.name for p in files])}?")
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _may_take_over(self, session: ImageSession) -> bool:
        image = session.image
        question = f"Replace the labels of {image.name if image else 'this image'} by the file's?"
        answer = QMessageBox.question(self, "Open project or labels", plain(question))
        return bool(answer == QMessageBox.StandardButton.Yes)


def _save_steps(path: Path, project: Project, overwrite: bool) -> Steps[Path]:
    from napari_wildseg.io import save_project

    yield Progress(0, 1, f"Writing {path.name}")
    return save_project(path, project, overwrite=overwrite)


def _open_steps(path: Path) -> Steps[Project]:
    from napari_wildseg.io import Project, load_project

    yield Progress(0, 1, f"Reading {path.name}")
    if path.suffix.lower() == ".wildseg":
        return load_project(path)
    return Project(read_as_shown(labels_of_sidecar(path) or path))
