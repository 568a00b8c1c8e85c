"""A batch beside the window: a process of its own that reports progress as JSON lines.

Nothing heavy runs in the window's process, and a batch may be stopped at any moment: its journal
outlives being killed, and the next run goes on from there.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, Signal

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.gui.controls.as_typed import quoted


@dataclass(frozen=True)
class BatchRequest:
    """What the annotator asked for."""

    source: str  # folder, pattern or list of images
    labels: str  # what ``wildseg batch --labels`` takes
    folder: Path  # the output folder
    format: str  # output format
    model: str = "starter"  # model string
    views: str = "default"  # preset of views
    threshold: float = 0.5  # in [0, 1]
    if_present: bool = False  # only those of the names that the model finds in an image
    corrected: str = ""  # folder of labels that are right already; empty for none
    # A Dask scheduler's address, or ``local:N``; empty for this machine's cores.
    scheduler: str = ""
    # Redo what was not reviewed of the batch in ``folder``; nothing else is looked at.
    update: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments of ``wildseg`` that do it, going on where an earlier run stopped."""
        if self.update:
            return ["batch", "--update", "--progress-json", f"--out={self.folder}"]
        return [
            "batch",
            "--resume",
            "--progress-json",
            f"--labels={self.labels}",
            f"--out={self.folder}",
            f"--format={self.format}",
            f"--model={self.model}",
            f"--views={self.views}",
            f"--threshold={self.threshold}",
            *(["--if-present"] if self.if_present else []),
            *([f"--corrected={self.corrected}"] if self.corrected else []),
            *([f"--scheduler={self.scheduler}"] if self.scheduler else []),
            "--",
            self.source,
        ]


KILLED = (
    "its process was killed or crashed, perhaps for lack of memory. Run it again to go on from "
    "where it is."
)
"""Whatever it said last, of a picture that was left out for instance, was not why."""


class BatchProcess(QObject):
    """Runs one batch at a time."""

    progressed = Signal(dict)
    """An object with done, total, failed, stage, images_per_second and seconds_left."""
    finished = Signal(bool, str)
    """Whether it ended well, and why not; an empty reason if it was stopped."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._line = b""
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether a batch runs."""
        return self._process is not None

    def start(self, request: BatchRequest) -> None:
        """Start a batch."""
        self.stop()
        self._stopped, self._line = False, b""
        self._process = process = QProcess(self)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        process.start(sys.executable, ["-m", "napari_wildseg", *request.arguments()])

    def stop(self) -> None:
        """End the running batch at once; what it has done stays done."""
        process = self._process
        if process is None:
            return
        self._stopped = True
        process.kill()
        process.waitForFinished(1000)

    def _read(self) -> None:
        if self._process is None:
            return
        data = self._line + bytes(self._process.readAllStandardOutput().data())
        *lines, self._line = data.split(b"\n")
        latest: dict[str, Any] | None = None
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue  # a library that prints
            latest = found if isinstance(found, dict) else latest
        if latest is not None:
            self.progressed.emit(latest)

    def _on_finished(self, status: int, how: object = None) -> None:
        process = self._process
        if process is None:
            return
        self._read()
        said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace")
        self._process = None
        process.deleteLater()
        if self._stopped:
            self.finished.emit(False, "")
        elif how == QProcess.ExitStatus.CrashExit:
            self.finished.emit(False, KILLED)
        elif status == 0:
            self.finished.emit(True, "")
        else:
            lines = [line for line in said.strip().splitlines() if line.startswith("wildseg: ")]
            reason = lines[-1].removeprefix("wildseg: ") if lines else "it ended without a word"
            self.finished.emit(False, reason)

    def _on_error(self, error: object) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            self._process = None
            self.finished.emit(False, f"{sys.executable} cannot be started.")


def as_labels(classes: Sequence[ClassInfo]) -> str:
    """Return classes as they are typed on a command line.

    Examples
    --------
    >>> as_labels([ClassInfo(1, "salt, pepper", ("shaker", "mill"), (0, 0, 0))])
    '"salt, pepper"=shaker|mill'
    """
    parts = []
    for info in classes:
        name = quoted(info.name)
        prompts = "|".join(quoted(prompt) for prompt in info.prompts)
        parts.append(name if info.prompts == (info.name,) else f"{name}={prompts}")
    return ", ".join(parts)
