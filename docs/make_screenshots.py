"""Remake the pictures of the window in docs/images.

Needs a screen, a virtual one will do::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The annotator's own napari settings, and corrections left over, would change the pictures.
os.environ["NAPARI_CONFIG"] = ""
_DATA = tempfile.TemporaryDirectory()
os.environ["XDG_DATA_HOME"] = _DATA.name

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialog, QPushButton, QWidget
from skimage import data
from skimage.filters import gaussian

from napari_wildseg.gui.annotation.brush_strokes import brushed

IMAGES = Path(__file__).resolve().parent / "images"


class Desk:
    """A window of a fixed size with the widget in it."""

    def __init__(self, *, width: int = 1200, height: int = 800, dock: int = 300) -> None:
        self.viewer = napari.Viewer(show=True)
        self.window = self.viewer.window
        self.window.resize(width, height)
        self.dock, self.widget = self.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
        main = self.dock.parent()
        main.resizeDocks([self.dock], [dock], Qt.Orientation.Horizontal)
        self.settle()

    def settle(self, seconds: float = 0.4) -> None:
        """Let the window draw itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def control(self, name: str) -> QWidget:
        """Return a control by its object name."""
        found = self.widget.findChild(QObject, name)
        assert found is not None, name
        return found

    def wait(self, seconds: float = 300) -> None:
        """Wait for the running job."""
        end = time.monotonic() + seconds
        controller = self.widget.controller
        while (controller.working or controller.objects.busy) and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)  # the worker needs the processor more
        self.settle()

    def press(self, name: str) -> None:
        """Click a button and wait for what it does."""
        self.control(name).click()
        self.wait()
        print(f"  {name}: {self.control('status').text()}")

    def names(self, text: str) -> None:
        """Type class names and press Enter."""
        line = self.control("new_class")
        line.setText(text)
        line.returnPressed.emit()

    def shoot(self, name: str, *, whole: bool = True) -> None:
        """Write a picture of the whole window, with the whole image in it or as it is."""
        if whole:
            self.viewer.reset_view(margin=0.02)
        self.settle(0.8)
        IMAGES.mkdir(exist_ok=True)
        path = IMAGES / f"window-{name}.png"
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        colours = [info.colour for info in self.widget.controller.classes]
        compact(Image.fromarray(pixels), colours).save(path, optimize=True)
        print(f"wrote {path}")

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        QApplication.processEvents()


def scale_bar(viewer: napari.Viewer) -> Any:
    """Return the scale bar, where napari has it since 0.9 or where it was before."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return viewer.scale_bar if overlays is None else overlays.scale_bar


def compact(picture: Image.Image, exact: list[tuple[int, int, int]]) -> Image.Image:
    """Return a picture in 256 colours, in less than half the bytes; some colours stay exact.

    The swatch of a class is small, and would be given the colour of something larger.
    """
    others = picture.quantize(256 - len(exact)).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(value for colour in exact for value in colour), *others][:768])
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def camera() -> None:
    """Auto-segment a photograph, then correct and refine; and the light theme."""
    desk = Desk()
    desk.shoot("empty")
    desk.viewer.open_sample("napari-wildseg", "camera")
    desk.names("man, camera, tripod, grass, sky")
    desk.press("suggest")
    desk.shoot("suggest")
    desk.press("auto_segment")
    desk.shoot("auto-segment")
    desk.control("suggestions").hide()
    labels = desk.viewer.layers["camera labels"]
    # One dab a class, as in make_method_pictures.py.
    for label, spots, size in (
        (1, ((150, 228),), 20),
        (2, ((168, 284),), 16),
        (3, ((325, 296),), 10),
        (4, ((430, 325),), 20),
        (5, ((60, 400),), 20),
    ):
        desk.widget.controller.pick_class(label)
        labels.brush_size = size
        tracked = desk.widget.controller.session.tracked["labels"]
        plane = desk.widget.controller.plane
        for spot in spots:
            labels.paint(spot, label)
            # What the mouse would have passed over and was right already counts too.
            box, covered = brushed(labels.data.shape, [spot], size, (1, 1), (0, 1))
            region = np.zeros(labels.data.shape, bool)
            region[box] = covered & (labels.data[box] == label)
            tracked.tracker(plane).confirm(region, labels.data)
    desk.shoot("painted")
    desk.press("refine")
    desk.shoot("refined")
    desk.viewer.theme = "light"
    desk.shoot("light")
    desk.close()


def large_letters() -> None:
    """Letters of twice the size on a small screen, in both themes."""
    from napari.settings import get_settings

    appearance = get_settings().appearance
    usual, appearance.font_size = appearance.font_size, 2 * appearance.font_size
    desk = Desk(width=1366, height=768, dock=480)
    desk.viewer.open_sample("napari-wildseg", "coffee")
    desk.names("cup of coffee, spoon, table")
    desk.press("auto_segment")
    desk.shoot("large-letters")
    desk.viewer.theme = "light"
    desk.shoot("large-letters-light")
    desk.close()
    appearance.font_size = usual


def narrow() -> None:
    """The dock at 250 pixels."""
    desk = Desk(width=900, height=640, dock=250)
    desk.viewer.add_image(data.chelsea(), name="chelsea")
    desk.names("cat")
    desk.press("auto_segment")
    desk.shoot("narrow")
    desk.close()


def stack() -> None:
    """A calibrated stack: the plane in view is segmented."""
    photo = data.coffee()
    planes = np.stack([np.roll(photo, shift, axis=1) for shift in (0, 20, 40, 60, 80)])
    desk = Desk()
    desk.viewer.add_image(planes, name="stack", scale=(5, 0.5, 0.5), units=("um", "um", "um"))
    scale_bar(desk.viewer).visible = True
    desk.names("cup of coffee, table")
    desk.viewer.dims.set_current_step(0, 2)
    desk.press("auto_segment")
    desk.shoot("stack")
    desk.close()


def multichannel() -> None:
    """Three additive channels are segmented together, as they are displayed."""
    photo = data.astronaut()
    desk = Desk()
    for channel, colour in enumerate(("red", "green", "blue")):
        desk.viewer.add_image(
            photo[..., channel], name=colour, colormap=colour, blending="additive"
        )
    desk.names("astronaut, flag")
    desk.press("auto_segment")
    desk.shoot("multichannel")
    desk.close()


def batch() -> None:
    """A folder of photographs in a batch, then the most uncertain of them."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        photos = Path("photos")
        photos.mkdir()
        for name in ("astronaut", "cat", "chelsea", "coffee", "rocket"):
            Image.fromarray(getattr(data, name)()).save(photos / f"{name}.png")
        desk = Desk(height=900)
        desk.control("fold_tools").setChecked(True)
        desk.control("fold_batch").click()
        desk.control("fold_review").click()
        desk.names("cat, person, rocket, cup of coffee, spoon")
        desk.control("batch_source").setText("photos")
        desk.control("batch_labels").setCurrentText("classes above, if present")
        desk.control("batch_folder").setText("data set")
        desk.control("batch_format").setCurrentText("coco")
        desk.control("batch_start").click()
        review = desk.control("review_next")
        end = time.monotonic() + 300
        while not review.isEnabled() and time.monotonic() < end:
            desk.settle(0.1)
        print(f"  batch: {desk.control('review_where').text()}")
        desk.wait()
        desk.shoot("review")
        desk.close()


def objects() -> None:
    """Nuclei that a threshold of the blue stain found, with an id each."""
    tissue = data.immunohistochemistry()
    blue = gaussian(tissue[..., 2].astype(float) - tissue[..., 0], 1)
    desk = Desk(height=860)
    desk.viewer.add_image(tissue, name="ihc")
    desk.viewer.add_labels((blue > 14).astype(np.uint8), name="nuclei")
    desk.names("nucleus")
    desk.press("split_objects")
    desk.control("objects_min_size").setValue(30)
    desk.wait()
    table: Any = desk.control("objects_table")
    table.selectRow(table.rows.rowCount() - 3)
    desk.settle()
    desk.shoot("objects", whole=False)
    desk.close()


class States:
    """Pictures of every state: 1366 x 768 pixels, letters of the usual and of twice the size."""

    def __init__(self, folder: Path) -> None:
        from napari.settings import get_settings

        self.folder = folder
        self.appearance = get_settings().appearance
        self.usual = self.appearance.font_size
        self.desk = Desk(width=1366, height=768, dock=340)

    def shoot(self, state: str, dialog: QWidget | None = None) -> None:
        """Write the state, or a dialog, in both themes and sizes."""
        desk = self.desk
        for theme in ("dark", "light"):
            for size in (1, 2):
                self.appearance.font_size = size * self.usual
                desk.viewer.theme = theme
                desk.window.resize(1366, 768)
                desk.settle(0.5)
                path = self.folder / f"{state}-{theme}-{size}00.png"
                if dialog is not None:
                    dialog.adjustSize()
                    dialog.grab().save(str(path))
                    continue
                pixels = desk.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
                Image.fromarray(pixels).quantize(256).save(path, optimize=True)
        self.appearance.font_size = self.usual
        print(f"  {state}", flush=True)

    def shoot_export(self) -> None:
        """Write the dialog of Export, which waits for an answer."""
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog):
            QTimer.singleShot(100, self.shoot_export)
            return
        self.shoot("export", dialog)
        dialog.reject()

    def take(self) -> None:
        """Go through the states of a session."""
        desk = self.desk
        self.shoot("empty")
        desk.viewer.open_sample("napari-wildseg", "coffee")
        self.shoot("image")
        desk.press("suggest")
        button = desk.control("suggestions").findChild(QPushButton)
        desk.control("suggestions").hovered.emit(button.property("suggested"))
        self.shoot("suggested")
        desk.control("suggestions").hovered.emit("")
        desk.names("cup of coffee, spoon, table")
        self.shoot("named")
        desk.control("auto_segment").click()
        desk.settle(0.3)
        self.shoot("running")
        desk.wait()
        self.shoot("labels")
        desk.control("refine_at_once").setChecked(False)
        self.shoot("first-guess")
        desk.control("refine_at_once").setChecked(True)
        labels = desk.viewer.layers["coffee labels"]
        desk.widget.controller.pick_class(1)
        labels.brush_size = 24
        for column in range(225, 330, 8):
            labels.paint((230, column), 1)
        desk.press("refine")
        desk.press("show_changes")
        self.shoot("changes")
        QTimer.singleShot(100, self.shoot_export)
        desk.control("export").click()
        desk.press("split_objects")
        self.shoot("objects")
        desk.control("fold_tools").setChecked(True)
        for name in ("vocabulary_section", "stack", "batch", "review"):
            desk.control(f"fold_{name}").setChecked(True)
            desk.settle()
            self.shoot(f"tools-{name}")
            desk.control(f"fold_{name}").setChecked(False)
        desk.control("fold_tools").setChecked(False)
        desk.viewer.layers.clear()
        desk.viewer.open_sample("napari-wildseg", "coffee")
        self.shoot("left-over")
        desk.close()


SCENES: dict[str, Callable[[], None]] = {
    "camera": camera,
    "large_letters": large_letters,
    "narrow": narrow,
    "stack": stack,
    "multichannel": multichannel,
    "batch": batch,
    "objects": objects,
}


def main() -> int:
    """Make all pictures, or those of the scenes named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="default: all")
    parser.add_argument("--states", type=Path, help="only write every state to this folder")
    asked = parser.parse_args()
    if asked.states is not None:
        asked.states.mkdir(parents=True, exist_ok=True)
        States(asked.states).take()
        return 0
    chosen = asked.scenes or list(SCENES)
    for name in chosen:
        print(name)
        SCENES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
