"""The same classes over many images: a batch beside the window."""

import os
from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtWidgets import QFileDialog, QLineEdit, QProgressBar

from napari_wildseg.gui.controls.named import named
from napari_wildseg.gui.controls.plain_text import plain
from napari_wildseg.gui.jobs.batch_process import BatchProcess, BatchRequest, as_labels
from napari_wildseg.gui.notices import pluralise
from napari_wildseg.gui.sections.section import CollapsibleSection, Section

SAME = "all classes above"
PRESENT = "classes above, if present"
AUTO = "what the model finds"
FILE = "a file of labels ..."
BATCH_FORMATS = ("png", "voc", "coco", "tiff", "ome-zarr", "npz", "yolo")


class AdvancedBatch(Section):
    """Settings that few batches need."""

    title: ClassVar[str] = "Advanced"
    about: ClassVar[str] = "Labels that are right already, and other machines to work on."

    def build(self) -> None:
        """Make the controls."""
        self.corrected = self.line(
            "batch_corrected",
            "A folder of label files that are right already, named as the images are, or the\n"
            "output of another batch that was reviewed. They are kept, and in a stack carried to\n"
            "the other planes.",
        )
        self.scheduler = self.line(
            "batch_scheduler",
            "Let the workers of a Dask scheduler do it, for example tcp://host:8786, or local:4\n"
            "for four processes on this machine. Empty: this machine's cores.",
        )
        self.scheduler.setPlaceholderText("this machine")
        right = self.with_browse(self.corrected, "The folder of right labels")
        self.form({"Corrected": right, "Scheduler": self.scheduler}, 12)


class BatchSection(Section):
    """Source, output and progress of a batch."""

    title: ClassVar[str] = "Batch"
    about: ClassVar[str] = "Segment a folder of images into a data set."
    page: ClassVar[str] = "batch.md#in-the-window"

    def build(self) -> None:
        """Make the controls and connect them."""
        self.process = BatchProcess(self)
        self.process.progressed.connect(self._show)
        self.process.finished.connect(self._on_finished)
        self.source = self.line(
            "batch_source", "A folder of images, or a pattern such as photos/*.jpg."
        )
        self.folder = self.line(
            "batch_folder", "Where labels and report go. A batch that stopped there goes on."
        )
        self.labels = self.combo(
            "batch_labels",
            "Which classes to look for in an image: all of the table; those of the table that the\n"
            "model finds there; those of COCO's 80 that it finds; or those that a file lists.",
        )
        self.labels.addItems([SAME, PRESENT, AUTO, FILE])
        self.labels.activated.connect(lambda _: self._ask_for_file())
        self.format = self.combo(
            "batch_format", "How the labels are written: a file an image, or a data set."
        )
        self.format.addItems(BATCH_FORMATS)
        self.form(
            {
                "Images": self.with_browse(self.source, "The folder of images"),
                "Find": self.labels,
                "Output": self.with_browse(self.folder, "The folder for the labels"),
                "Format": self.format,
            }
        )
        self.start = self.button(
            "batch_start",
            "Run batch",
            "Segment every image, in a process of its own: the window stays free.",
            self.run,
        )
        self.stop = self.button(
            "batch_stop",
            "Stop",
            "Stop now; what is done stays, and the next run goes on from there.",
            self.process.stop,
            enabled=False,
        )
        about = "How many images of the batch are done."
        self.bar = named(QProgressBar(self), "batch_progress", about)
        self.bar.hide()
        self.advanced = AdvancedBatch(self.controller, self)
        self.column.addWidget(CollapsibleSection(self.advanced, self))
        self.row(self.start, self.stop)
        self.column.addWidget(self.bar)
        self.destroyed.connect(self.process.stop)

    def run(self) -> None:
        """Start the batch that the controls describe, or say what is missing."""
        source, folder = _typed(self.source), _typed(self.folder)
        chosen = self.labels.currentText()
        classes = self.controller.classes
        if not source or not folder:
            self.controller.notify("Choose the folder of images and the output folder first.")
            return
        if chosen in (SAME, PRESENT) and not classes:
            self.controller.notify("Type the classes to look for first.")
            return
        typed = as_labels(classes)
        labels = {SAME: typed, PRESENT: typed, AUTO: "auto"}.get(chosen, chosen)
        request = BatchRequest(
            source,
            labels,
            Path(folder),
            self.format.currentText(),
            model=self.controller.model,
            views=self.controller.settings.views,
            threshold=self.controller.threshold,
            if_present=chosen == PRESENT,
            corrected=_typed(self.advanced.corrected),
            scheduler=self.advanced.scheduler.text().strip(),
        )
        self._failed = 0
        self._running(True)
        self.expand_requested.emit()  # so that the bar is visible
        self.bar.setRange(0, 0)
        self.bar.setFormat("Starting ...")
        self.controller.status.emit("The batch runs beside the window; go on working meanwhile.")
        self.process.start(request)

    def _show(self, progress: dict[str, Any]) -> None:
        done, total = int(progress["done"]), int(progress["total"])
        self._failed = int(progress["failed"])
        rate, left = progress["images_per_second"], progress["seconds_left"]
        text = f"{done} of {total}"
        if rate is None:
            text = f"{text}: {progress['stage']}"
        else:
            minutes, seconds = divmod(round(left or 0), 60)
            text = f"{text}, {rate:.1f}/s, {minutes}:{seconds:02} left"
        if self._failed:
            text += f", {self._failed} failed"
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        self.bar.setFormat(text)
        self.bar.setToolTip(plain(text))

    def _on_finished(self, well: bool, reason: str) -> None:
        self._running(False)
        if well:
            self.bar.hide()
            text = pluralise(self._failed, " {n} [image|images] failed: see report.csv.")
            failed = text if self._failed else ""
            self.controller.status.emit(
                f"The batch is done.{failed} Review steps through the images, the most uncertain "
                "first."
            )
            self.controller.batch_done.emit(_typed(self.folder))
        elif reason:
            self.controller.notify(f"The batch ended: {reason}")
        else:
            self.controller.status.emit(
                "The batch was stopped. Run it again to go on from where it is."
            )

    def _running(self, runs: bool) -> None:
        self.start.setEnabled(not runs)
        self.stop.setEnabled(runs)
        self.bar.setVisible(runs or self.bar.isVisible())

    def _ask_for_file(self) -> None:
        """Ask for a file of labels where that is what was chosen."""
        if self.labels.currentText() != FILE:
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "Labels of each image", self.source.text(), "Labels (*.csv *.json)"
        )
        if name:
            self.labels.insertItem(self.labels.count() - 1, name)
            self.labels.setCurrentIndex(self.labels.count() - 2)
        else:
            self.labels.setCurrentText(SAME)


def _typed(line: QLineEdit) -> str:
    """Return the path in a line, with ``~`` as a shell would have it."""
    text = line.text().strip()
    return os.path.expanduser(text)  # noqa: PTH111 - a pattern is no path
