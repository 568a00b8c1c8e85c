"""Saving the labels in view."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui import export
from napari_wildseg.gui.sections.base import Section


class ExportSection(Section):
    """The export button and what it asks."""

    def build(self) -> None:
        """Make the control."""
        self._folder = Path.home()
        self.export = self.button(
            "export",
            "Export ...",
            "Save the labels in view as an indexed PNG with a JSON sidecar that names the classes.",
            self.export_labels,
        )
        self.column.addWidget(self.export)

    def export_labels(self) -> list[Path]:
        """Ask for a file name and write the labels in view.

        Returns
        -------
        list of Path
            The files written; empty if the annotator changed their mind.
        """
        controller = self.controller
        session, plane = controller.session, controller.plane
        if session is None or plane is None or not any(session.label_layers()):
            controller.tell("There is nothing to export yet: press Auto-segment first.")
            return []
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Export labels",
            str(self._folder / export.suggested_name(session, plane)),
            export.FILTERS,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return []
        path = Path(name)
        self._folder = path.parent
        try:
            path = export.with_ending(path)
            there = export.existing(path)
            if there and not self._may_replace(there):
                return []
            written = export.save(session, plane, path, overwrite=bool(there))
        except WildsegError as error:
            controller.tell(str(error))
            return []
        controller.safekeeping.forget(session, plane)
        names = " and ".join(p.name for p in written)
        controller.status.emit(f"Exported {names} to {path.parent}.")
        return written

    def _may_replace(self, files: list[Path]) -> bool:
        names = ", ".join(p.name for p in files)
        answer = QMessageBox.question(self, "Export labels", f"Replace {names}?")
        return bool(answer == QMessageBox.StandardButton.Yes)
