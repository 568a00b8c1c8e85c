"""Count the clicks and keys from six photographs to a COCO set, in a real window.

Six photographs of one folder with three shared classes are opened, named, segmented and written;
nothing is painted. A click on a button, a choice in a list and a press of a key count one each; a
key with Alt or Ctrl too. Opening the first file counts as four: Ctrl+O, a click in the folder, a
click on the file, Open::

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/count_clicks.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

from make_screenshots import Desk
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QDialog, QShortcut, QWidget
from skimage import data

NAMES = "cat, cup, rocket"
OPENING = 4


class Counter:
    """Uses the widget as a person does, and counts."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.clicks = self.keys = 0

    def click(self, control: QWidget) -> None:
        """Click on the left end of a control, where the box of a check box is."""
        self.clicks += 1
        spot = control.rect().center()
        spot.setX(min(spot.x(), 10))
        QTest.mouseClick(control, Qt.MouseButton.LeftButton, pos=spot)

    def key(self, sequence: str) -> None:
        """Press a key of the widget; without a window manager, by the signal of its shortcut."""
        self.keys += 1
        shortcuts = self.desk.widget.findChildren(QShortcut)
        next(s for s in shortcuts if s.key().toString() == sequence).activated.emit()
        self.desk.wait()

    def type(self, text: str) -> None:
        """Type a line and Enter."""
        line = self.desk.control("new_class")
        self.click(line)
        self.keys += len(text) + 1
        QTest.keyClicks(line, text)
        QTest.keyClick(line, Qt.Key.Key_Return)

    def choose(self, box: QComboBox, entry: str) -> None:
        """Choose in a list: a click opens it, another chooses."""
        self.clicks += 2
        box.setCurrentIndex(box.findData(entry))

    def answer_export(self) -> None:
        """Choose the format in the dialog of Export and accept it."""
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog):
            QTimer.singleShot(100, self.answer_export)
            return
        box = dialog.findChild(QComboBox, "export_format")
        self.choose(box, "coco-set")
        self.click(dialog.ok)


def photographs(folder: Path) -> list[Path]:
    """Write six photographs: three of scikit-image's and a part of each."""
    paths = []
    for name in ("chelsea", "coffee", "rocket"):
        photo = getattr(data, name)()
        height, width = photo.shape[:2]
        for part, pixels in (("a", photo), ("b", photo[: height * 9 // 10, width // 10 :])):
            paths.append(folder / f"{name}_{part}.png")
            Image.fromarray(pixels[::2, ::2]).save(paths[-1])
    return paths


def main() -> int:
    """Drive the window and print the counts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = photographs(folder)
        desk = Desk()
        controller = desk.widget.controller
        controller.settings = replace(controller.settings, views="single")  # quicker
        count = Counter(desk)
        count.clicks += OPENING - 1
        count.keys += 1
        desk.viewer.open(str(paths[0]), plugin="napari")
        desk.settle()
        count.type(NAMES)
        for number, path in enumerate(paths):
            assert controller.image.name == path.stem, desk.control("status").text()
            count.key("Alt+A")
            if not number:
                count.click(desk.control("same_classes"))
                QTimer.singleShot(100, count.answer_export)
            count.key("Alt+E")
            print(f"{path.stem}: {desk.control('status').text()}")
        written = json.loads(next(folder.rglob("instances_*.json")).read_text())
        assert len(written["images"]) == len(paths)
        assert [c["name"] for c in written["categories"]] == NAMES.split(", ")
        total = count.clicks + count.keys
        print(
            f"{count.clicks} clicks and {count.keys} keys, {len(NAMES)} of them the names: "
            f"{total / len(paths):.1f} a photograph"
        )
        desk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
