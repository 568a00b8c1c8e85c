"""The window work of the README and of both tutorials, done step by step.

Controls are found by the words that the pages use for them, and every control that a page names
is used: the test fails when a control is renamed, or when a page names another.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QDesktopServices
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QFileDialog, QMessageBox

from napari_wildseg.batch.memory_in_use import MEMORY
from napari_wildseg.batch.review_queue import ReviewQueue
from napari_wildseg.cli.main import main
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.gui.controls.export_dialog import ExportDialog
from napari_wildseg.io import read_labels

from .annotator import stroke, wrong_spot
from .conftest import TIMEOUT

ROOT = Path(__file__).parents[2]
README, PHOTOS, MEMORIES = "README.md", "docs/tutorial-photos.md", "docs/tutorial-memory.md"
EMPHASISED = re.compile(r"(?<!\*)\*{1,2}([^*\n]+?)\*{1,2}(?!\*)")


def section(page, heading):
    text = (ROOT / page).read_text("utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def named(page, *headings):
    """What the sections of a page emphasise: menus and controls, in order."""
    text = "\n".join(section(page, heading) for heading in headings)
    return list(dict.fromkeys(EMPHASISED.findall(text)))


def fits(text, name):
    """Whether a control is called so; "..." and what follows in parentheses may be left out."""
    text = text.replace("&", "")
    return text in (name, f"{name} ...") or text.startswith((f"{name} (", f"{name}: "))


class Follower:
    """Uses a window by what is written on its menus and controls, and notes what it used."""

    def __init__(self, viewer, desk=None):
        self.viewer, self.desk, self.used = viewer, desk, []

    def menu(self, path):
        """Choose an entry of the menus."""
        self.used.append(path)
        entries = self.viewer.window._qt_window.menuBar().actions()
        *menus, last = path.split(" > ")
        for name in menus:
            menu = next(entry.menu() for entry in entries if fits(entry.text(), name))
            menu.aboutToShow.emit()
            entries = menu.actions()
        next(entry for entry in entries if fits(entry.text(), last)).trigger()

    def button(self, name):
        """Return the button with a name that is in the window now."""
        root = self.desk.widget
        found = [
            button
            for button in root.findChildren(QAbstractButton)
            if fits(button.text(), name) and button.isVisibleTo(root)
        ]
        assert len(found) == 1, f"{len(found)} buttons are called {name}"
        return found[0]

    def press(self, name):
        """Press a button and wait for what it does."""
        button = self.button(name)
        assert button.isEnabled(), name
        self.used.append(name)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.desk.wait()

    def choose_class(self, name):
        """Click a row of the table."""
        table = self.desk.control("classes")
        model = table.model()
        (row,) = (r for r in range(model.rowCount()) if model.index(r, 0).data() == name)
        spot = table.visualRect(model.index(row, 0)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)

    def dab(self, name, size=9):
        """Paint where the labels are not a class; return the spot and the label."""
        self.choose_class(name)
        labels = self.desk.layer()
        assert labels.mode == "paint"
        assert self.viewer.layers.selection.active is labels
        labels.brush_size = size
        label = labels.selected_label
        spot = wrong_spot(labels, label)
        stroke(self.viewer, labels, [spot, (spot[0] + 1, spot[1])])
        assert labels.data[spot] == label
        return spot, label

    def keys(self, *key):
        """Press keys over the image."""
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, *key)


def export_to(folder):
    """Answer the dialog of Export, which waits for it."""

    def answer():
        (dialog,) = (d for d in QApplication.topLevelWidgets() if isinstance(d, ExportDialog))
        dialog.folder.setText(str(folder))
        (button,) = (b for b in dialog.findChildren(QAbstractButton) if b.text() == "Export")
        button.click()

    QTimer.singleShot(0, answer)


@pytest.fixture
def answers(monkeypatch):
    """Answer questions with yes; the pages that were opened in a browser."""
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.Yes)
    return opened


def test_the_photo_tutorial_and_the_readme(desk, empty_viewer, answers, tmp_path):
    follow = Follower(empty_viewer)
    follow.menu("Plugins > Wildseg")
    d = follow.desk = desk()
    sample = "File > Open Sample > Wildseg > A cameraman on a lawn (grey)"
    follow.menu(sample)
    d.qtbot.waitUntil(lambda: d.controller.image is not None)
    assert d.controller.image.name == "camera"
    d.type_names("man, camera")
    follow.press("Auto-segment")
    labels = d.layer()
    assert set(np.unique(labels.data)) <= {0, 1, 2}
    assert len(np.unique(labels.data)) > 1
    # What is missing, and what is too much.
    dabs = [follow.dab("camera"), follow.dab("background")]
    before = labels.data.copy()
    follow.press("Refine")
    assert "corrected pixels kept" in d.status
    assert all(labels.data[spot] == label for spot, label in dabs)
    after = labels.data.copy()
    assert (after != before).any()
    follow.keys(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (labels.data == before).all(), "Ctrl+Z takes back a whole step"
    labels.redo()
    assert (labels.data == after).all()
    export_to(tmp_path)
    follow.press("Export")
    written = read_labels(tmp_path / "camera.png")
    assert (written.labels == after).all()
    assert [info.name for info in written.classes] == ["man", "camera"]
    assert written.image == "camera"
    tutorial = named(PHOTOS, "3. Correct it in the window")
    assert follow.used[1:] == tutorial
    # What is painted later is offered when the image is opened again.
    follow.dab("man")
    d.wait()
    empty_viewer.layers.clear()
    follow.menu(sample)
    d.qtbot.waitUntil(lambda: d.controller.image is not None)
    assert follow.button("Restore").isEnabled()

    # The README goes on where the tutorial ends.
    follow.press("Restore")
    follow.press("Auto-segment")
    follow.press("Split into objects")
    d.qtbot.waitUntil(lambda: not d.controller.objects.busy)
    assert d.controller.objects.layer(d.controller.session) is not None
    follow.press("Done, next image")  # format and folder are known
    assert "last image" in d.status
    assert read_labels(tmp_path / "camera.png").corrections is not None
    follow.press("Help")
    assert len(answers) == 1
    follow.press("More tools")
    follow.press("Batch")
    follow.press("Review")
    assert not follow.button("Update the rest").isEnabled(), "there is no batch yet"
    asked = named(README, "In napari", "Objects and similar images", "Getting help")
    assert set(asked) <= {*follow.used, "Update the rest"}


def test_the_tutorial_on_twenty_images(desk, empty_viewer, monkeypatch, tmp_path):
    """With six images, and one view of each, so that it takes less long."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "docs" / "make_memory_tutorial.py"
    spec = importlib.util.spec_from_file_location("make_memory_tutorial", path)
    images = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(images)
    images.COUNT = 6
    images.write_set(Path("experiment"))
    (command,) = re.findall(r"^wildseg (.*)$", section(MEMORIES, "2. The batch"), re.MULTILINE)
    assert main([*shlex.split(command), "--views", "single"]) == 0

    follow = Follower(empty_viewer)
    follow.menu("Plugins > Wildseg")
    d = follow.desk = desk()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "labels")
    follow.press("More tools")
    follow.press("Review")
    assert not follow.button("Update the rest").isEnabled()
    follow.press("Open ...")
    reviewer = d.section("Review").reviewer
    d.qtbot.waitUntil(lambda: reviewer.item is not None)
    d.wait()
    d.click("review_update")
    assert "Review some images first" in d.status
    finished = []
    for place in range(4):
        finished.append(reviewer.item.record.name)
        follow.dab("nucleus")
        follow.press("Refine")
        follow.dab("background")
        d.click("review_update")
        assert "press Save or Next" in d.status
        follow.press("Next")
        d.qtbot.waitUntil(lambda place=place: reviewer.place == place + 1)
    kept = {name: Path("labels", f"{name}.png").read_bytes() for name in finished}
    # What is accepted teaches the window as well.
    d.qtbot.waitUntil(lambda: not d.controller.memory.learning)
    assert d.control("memory").text() == "Learned from 4 images"
    follow.press("Update the rest")
    assert not d.control("review_next").isEnabled()
    process = d.section("Review").process
    # A process that imports PyTorch on a busy machine.
    d.qtbot.waitUntil(lambda: not process.running, timeout=5 * TIMEOUT)
    d.wait()
    assert {name: Path("labels", f"{name}.png").read_bytes() for name in finished} == kept
    assert reviewer.item.record.name not in finished
    memories = {r.name: r.memory for r in ReviewQueue("labels").records}
    memory = ClassMemory.load(Path("labels", MEMORY))
    assert sorted(image.name for image in memory.images) == sorted(finished)
    rest = set(memories) - set(finished)
    assert memories == dict.fromkeys(finished, "") | dict.fromkeys(rest, memory.digest[:16])
    assert d.control("review_next").isEnabled()
    assert list(dict.fromkeys(follow.used)) == named(
        MEMORIES, "3. Four images by hand", "4. The rest"
    )
