"""Review of a batch: its images, the most uncertain first."""

from typing import Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.jobs.batch_process import BatchProcess, BatchRequest
from napari_wildseg.gui.review import Reviewer
from napari_wildseg.gui.sections.section import Section

UPDATE = "Update the rest"


class ReviewSection(Section):
    """Open a finished batch and step through it."""

    title: ClassVar[str] = "Review"
    about: ClassVar[str] = "Step through the images of a batch, the most uncertain first."
    page: ClassVar[str] = "batch.md#review-which-images-to-correct-first"

    def build(self) -> None:
        """Make the controls and connect them."""
        self._begun = False
        self.reviewer = Reviewer(self.controller)
        self.reviewer.moved.connect(self._show_position)
        self.open = self.button(
            "review_open", "Open ...", "Choose the output folder of a finished batch.", self.ask
        )
        plain_text = Qt.TextFormat.PlainText
        self.where = named(QLabel(self), "review_where", wordWrap=True, textFormat=plain_text)
        self.previous = self.button(
            "review_previous",
            "Previous",
            "Write what was changed into the data set and go back to the image before.",
            lambda: self.reviewer.step(-1),
            enabled=False,
        )
        self.save = self.button(
            "review_save",
            "Save",
            "Write what was changed into the data set and stay.",
            lambda: self.reviewer.step(0),
            enabled=False,
        )
        self.next = self.button(
            "review_next",
            "Next",
            "Take this image as reviewed, what was changed is written, and go to the next.",
            lambda: self.reviewer.step(1),
            enabled=False,
        )
        self.process = BatchProcess(self)
        self.process.progressed.connect(self._show_update)
        self.process.finished.connect(self._updated)
        self.destroyed.connect(self.process.stop)
        self.update_rest = self.button(
            "review_update",
            UPDATE,
            "Learn from the images reviewed so far, and redo the others with what was learned.\n"
            "Reviewed images stay as they are; the others are ranked anew.",
            self._update,
            enabled=False,
        )
        self.row(self.open, self.update_rest)
        self.column.addWidget(self.where)
        self.row(self.previous, self.save, self.next)
        self.controller.batch_done.connect(self._open_finished)
        self.controller.runner.busy.connect(self._busy)

    def ask(self) -> None:
        """Ask for a batch and open it."""
        folder = QFileDialog.getExistingDirectory(self, "The output folder of a batch")
        if folder:
            self.reviewer.open(folder)

    def _update(self) -> None:
        """Redo the unreviewed images in a process of its own, or stop it."""
        if self.process.running:
            self.process.stop()
            return
        queue = self.reviewer.queue
        if queue is None:
            return
        if self.reviewer.unsaved:
            self.controller.notify("The image in view was changed: press Save or Next first.")
            return
        if not queue.reviewed:
            self.controller.notify("Review some images first: Next takes one as reviewed.")
            return
        self.process.start(BatchRequest("", "", queue.folder, "", update=True))
        self.update_rest.setText("Stop updating")
        self.controller.status.emit("The rest is redone with what the reviewed images taught.")
        self._busy(self.controller.runner.running)

    def _show_update(self, progress: dict[str, Any]) -> None:
        done, total = int(progress["done"]), int(progress["total"])
        rate = progress["images_per_second"]
        self.where.setText(progress["stage"] if rate is None else f"Updated: {done} of {total}")

    def _updated(self, well: bool, reason: str) -> None:
        self.update_rest.setText(UPDATE)
        self._busy(self.controller.runner.running)
        queue = self.reviewer.queue
        if reason:
            self.controller.notify(f"The update ended: {reason}")
        elif not well:
            self.controller.status.emit("The update was stopped; press it again to go on.")
        if queue is not None:
            self.reviewer.reopen()

    def _open_finished(self, folder: str) -> None:
        """Open a batch that was just finished, and unfold the section."""
        self._begun = True
        self.reviewer.open(folder)
        self.expand_requested.emit()

    def _show_position(self) -> None:
        self.where.setText(self.reviewer.about)
        # A wrapped label requests no height, and two lines got room for one.
        lines = self.reviewer.about.count("\n") + 1
        self.where.setMinimumHeight(lines * self.where.fontMetrics().lineSpacing() + 2)
        if self._begun:  # now the section has its full height
            self._begun = False
            self.expand_requested.emit()
        item = self.reviewer.item
        self.where.setToolTip("" if item is None else plain(item.record.image))
        self._busy(False)

    def _busy(self, busy: bool) -> None:
        queue = self.reviewer.queue
        updating = self.process.running
        ready = not busy and queue is not None and not updating
        self.update_rest.setEnabled(ready or updating)
        self.previous.setEnabled(ready and self.reviewer.place > 0)
        self.save.setEnabled(ready)
        self.next.setEnabled(ready)
