"""Labels out and back in: export, project files."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.gui import export, notices, state
from napari_wildseg.gui.actions.label_meanings import LabelMeanings
from napari_wildseg.gui.annotation.image_identity import source_of
from napari_wildseg.gui.annotation.session import ImageSession
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.export import Choice, Item
from napari_wildseg.gui.layer_files import labels_of_sidecar, read_as_shown
from napari_wildseg.gui.layers.display import Plane, planes_like
from napari_wildseg.gui.notices import join_names, pluralise
from napari_wildseg.gui.sections.section import Section
from napari_wildseg.io import Project

PROJECTS = "Project (*.wildseg)"
DONE_KEY = "Alt+E"
"""Free in napari, as the other keys of the widget are."""
LABEL_FILES = "Projects and label files (*.wildseg *.png *.tif *.tiff *.npz *.json *.txt)"


class ExportSection(Section):
    """The export button, what it asks, and project files in the menu."""

    page: ClassVar[str] = "formats.md#projects"

    def build(self) -> None:
        """Make the controls."""
        self._choice: Choice | None = None
        self._project_folder: Path | None = None
        self._meanings = LabelMeanings()
        self.done_next_button = self.button(
            "done_next",
            "Done, next image",
            "Write the labels, learn from this image, and open the next image of the list or of\n"
            f"its folder ({DONE_KEY}). Format and folder are asked for once.",
            self.done_next,
        )
        self.shortcut(DONE_KEY, self.done_next)
        self.export = self.button(
            "export",
            "Export ...",
            "Save labels as files that training code reads: choose the format, the folder,\n"
            "the file names and which images.",
            self.export_labels,
        )
        self.row(self.done_next_button, self.export)
        self.open_button = self.button(
            "open_project",
            "Open project ...",
            "Go on with a project file on this image, for example yesterday's cat.wildseg;\n"
            "any label file will do.",
            self.open_project,
        )
        self.save_button = self.button(
            "save_project",
            "Save project ...",
            "Save classes, settings, first guess, corrections and labels of this image in one\n"
            "file, to go on another day or on another machine.",
            self.save_project,
        )
        self.row(self.open_button, self.save_button)

    def offer(self, labelled: bool) -> None:
        """Show what writes labels once there are some."""
        for control in (self.done_next_button, self.export, self.save_button):
            control.setVisible(labelled)

    # ------------------------------------------------------------------ export

    def export_labels(self) -> None:
        """Ask what to export and write it, in the background."""
        if self._can_export():
            choice = self._ask(objects=True)
            if choice is not None:
                self._write(choice)

    def done_next(self) -> None:
        """Write the labels of the image, remember it, and go on to the next image.

        Format and folder are asked for once in a session.
        """
        if not self._can_export(of_this_image=True):
            return
        choice = self._choice or self._ask()
        if choice is not None:
            self._write(replace(choice, all_images=False, all_planes=True), self._open_next)

    def _can_export(self, *, of_this_image: bool = False) -> bool:
        """Whether there is something to export; if not, say why."""
        controller, session = self.controller, self.controller.session
        some = any(
            export.has_labels(each)
            for each in controller.sessions
            if each is session or not of_this_image
        )
        if session is None or controller.plane is None or not some:
            controller.notify("There is nothing to export yet: press Auto-segment first.")
            return False
        return self._is_idle()

    def _ask(self, *, objects: bool = False) -> Choice | None:
        """Ask for format, folder and file names; what was chosen is offered the next time."""
        controller = self.controller
        view = controller.in_view()
        assert view is not None
        _, image, plane = view
        ready = [s for s in controller.sessions if export.has_labels(s)]
        planes = len(planes_like(image, plane))
        pictures = self._folder_of_pictures()
        dialog = ExportDialog(
            self._choice or export.Choice("png", pictures or Path.home()),
            self._preview,
            images=len(ready),
            planes=planes,
            objects=objects and any(s.objects.layer is not None for s in ready),
            pictures=pictures,
            parent=self,
        )
        choice = dialog.ask()
        dialog.deleteLater()
        if choice is not None and choice.format not in export.OBJECTS:
            self._choice = choice
        return choice

    def _folder_of_pictures(self) -> Path | None:
        """Return the folder that the image was opened from, None if it came from no file."""
        image = self.controller.image
        source = "" if image is None else source_of(image)
        folder = Path(source).absolute().parent if source else None
        return folder if folder is not None and folder.is_dir() else None

    def _folder(self) -> Path:
        """Return the folder that file dialogs begin in."""
        chosen = self._choice.folder if self._choice is not None else None
        return self._project_folder or chosen or self._folder_of_pictures() or Path.home()

    def _write(self, choice: Choice, then: Callable[[list[Item], str], None] | None = None) -> None:
        controller = self.controller
        try:
            items = self._plan(choice)
            there = export.existing(choice, items)
        except WildsegError as error:
            controller.notify(str(error))
            return
        if there and not self._confirm_replace(there):
            return
        controller.runner.run(
            "Export",
            controller.image,
            partial(export.write_steps, choice, items, overwrite=bool(there)),
            partial(self._exported, items, choice, then),
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
            return f"{folder_error(choice.folder)}.", False
        if choice.format == "yolo" and choice.unlabelled == "keep":
            return "YOLO has no unlabelled pixels: choose what becomes of them, if any.", True
        try:
            name = export.name_of(choice, session, plane)
        except WildsegError as error:
            return str(error), False
        if choice.format in export.DATA_SETS:
            return f"Adds {name} to the data set in this folder, or starts one.", True
        path = choice.folder / (name + export.ending_of(choice.format))
        files = join_names([file.name for file in export.files_of(choice.format, path)])
        many = choice.all_images or choice.all_planes
        return (f"Writes {files}, for example." if many else f"Writes {files}."), True

    def _exported(
        self,
        items: list[Item],
        choice: Choice,
        then: Callable[[list[Item], str], None] | None,
        written: list[Path],
    ) -> None:
        controller = self.controller
        for item in (i for i in items if i.objects is None):
            item.session.note_saved(item.edits)
            for plane in item.planes:
                kept = partial(item.kept, plane)
                controller.autosave.exported(item.session, plane, kept)
        controller.autosave.write()
        for item in (i for i in items if i.objects is None):
            controller.memory.finish(item.session, item.planes)
        files = list(dict.fromkeys(written))
        names = join_names([p.name for p in files], 2)
        message = f"Exported {names} to {choice.folder}."
        controller.status.emit(message)
        if then is not None:
            then(items, message)
        # Data sets give each name one value.
        if choice.format not in export.DATA_SETS and choice.format not in export.OBJECTS:
            warnings = [self._meanings.note(choice.folder, item.labels) for item in items]
            if warning := next(filter(None, warnings), ""):
                controller.warned.emit(warning)
                notices.warn(warning)

    def _open_next(self, items: list[Item], message: str) -> None:
        """Go on to the next image, unless it was painted while the labels were written."""
        session = items[0].session
        if session.image is None:
            return
        if session.unsaved:
            self.controller.status.emit(f"{message} Strokes came in meanwhile: press it again.")
        else:
            self.controller.next_image.open_next(session.image, message)

    # ------------------------------------------------------------------ projects

    def save_project(self) -> None:
        """Ask for a file name and write the project, in the background."""
        controller, session = self.controller, self.controller.session
        if session is None or not export.has_labels(session):
            controller.notify("There is nothing to save yet: press Auto-segment first.")
            return
        if not self._is_idle():
            return
        stem = export.name_of(export.Choice("png", Path(), "{image}"), session)
        name, _ = QFileDialog.getSaveFileName(
            self, "Save project", str(self._folder() / f"{stem}.wildseg"), PROJECTS
        )
        if not name:
            return
        # The file dialog has asked about a file of this very name, and no other.
        path, asked = Path(name), True
        if path.suffix.lower() != ".wildseg":
            path, asked = path.with_name(path.name + ".wildseg"), False
            if path.exists() and not (asked := self._confirm_replace([path])):
                return
        self._project_folder = path.parent
        edits = session.edits()
        try:
            project = state.to_project(controller, session)
        except WildsegError as error:
            controller.notify(str(error))
            return
        controller.runner.run(
            "Save project",
            session.image,
            partial(_save_steps, path, project, asked),
            partial(self._note_in_file, session, session.touched(), edits, project),
        )

    def _note_in_file(
        self,
        session: ImageSession,
        planes: list[Plane],
        edits: Mapping[TrackedLayer, int],
        project: Project,
        saved: Path | None = None,
    ) -> None:
        session.note_saved(edits)
        for plane in planes:
            kept = partial(state.corrections_in, project, plane)
            self.controller.autosave.exported(session, plane, kept)
        for plane in session.objects.corrected:
            kept_strokes = partial(state.strokes_in, project, plane)
            self.controller.autosave.exported(session, plane, kept_strokes, objects=True)
        self.controller.autosave.write()
        if saved is not None:
            self.controller.status.emit(f"Saved {saved.name} to {saved.parent}.")

    def open_project(self) -> None:
        """Ask for a project or label file and go on with it on the chosen image."""
        controller, session = self.controller, self.controller.session
        if session is None:
            controller.notify("Open the image first, then its project.")
            return
        if not self._is_idle():
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "Open project or labels", str(self._folder()), LABEL_FILES
        )
        if not name:
            return
        of = session.image.name if session.image is not None else ""
        question = f"Replace the labels of {of} by the file's?"
        if export.has_labels(session) and not self._confirm("Open project or labels", question):
            return
        self._project_folder = Path(name).parent
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
        controller.autosave.set_aside(session)
        state.restore_project(controller, session, project)
        self._note_in_file(session, session.touched(), session.edits(), project)
        corrections = project.labels.corrections
        kept = 0 if corrections is None else int((corrections >= 0).sum())
        warning = " Its image had other pixels: check that it is the right one." if other else ""
        classes = pluralise(len(session.classes), "{n} [class|classes]")
        pixels = pluralise(kept, "{n} corrected [pixel|pixels]")
        said = "".join(f" {notice}" for notice in project.labels.notices)
        controller.status.emit(f"Opened: {classes}, {pixels}.{warning}{said}")

    # ------------------------------------------------------------------ requests

    def _is_idle(self) -> bool:
        if self.controller.runner.running:
            self.controller.notify("Wait for the run to end, or cancel it first.")
            return False
        return True

    def _confirm_replace(self, files: list[Path]) -> bool:
        return self._confirm("Export labels", f"Replace {join_names([p.name for p in files])}?")

    def _confirm(self, title: str, question: str) -> bool:
        answer = QMessageBox.question(self, title, plain(question))
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
