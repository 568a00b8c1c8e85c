"""A real viewer with the real widget and the real starter model, loaded once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

# In one process, other tests may draw a canvas before torchvision is first imported, which would
# crash here as it would for annotators (see engine/import_guard.py; test_first_run.py tests that).
sys.modules.setdefault("triton", None)

# Nothing of the annotator's own settings is read or written.
os.environ["NAPARI_CONFIG"] = ""

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

TIMEOUT = 60_000


@pytest.fixture
def photo():
    """A quarter of the coffee photograph: small enough to be quick, real enough to be segmented."""
    from skimage import data

    return np.ascontiguousarray(data.coffee()[::2, ::2])


@dataclass
class Desk:
    """An annotator's desk: the viewer, the widget and short ways to use them."""

    viewer: Any
    widget: Any
    qtbot: Any

    @property
    def controller(self):
        return self.widget.controller

    def control(self, name: str) -> Any:
        found = self.widget.findChild(QWidget, name)
        assert found is not None, name
        return found

    def section(self, title: str) -> Any:
        return next(section for section in self.widget.extra if section.title == title)

    def click(self, name: str) -> None:
        button = self.control(name)
        assert button.isEnabled(), name
        button.click()

    def type_names(self, text: str) -> None:
        from qtpy.QtCore import Qt

        line = self.control("new_class")
        line.clear()
        self.qtbot.keyClicks(line, text)
        self.qtbot.keyClick(line, Qt.Key.Key_Return)

    def wait(self) -> None:
        self.qtbot.waitUntil(lambda: not self.controller.working, timeout=TIMEOUT)
        # The read-out follows on a timer.
        self.qtbot.waitUntil(lambda: not self.widget._count.isActive(), timeout=TIMEOUT)

    def run(self, name: str) -> None:
        self.click(name)
        self.wait()

    def layer(self, suffix: str = " labels") -> Any:
        return self.viewer.layers[self.controller.image.name + suffix]

    @property
    def status(self) -> str:
        return self.control("status").text()


@pytest.fixture
def desk(make_napari_viewer, qtbot, starter) -> Callable[..., Desk]:
    """Return a function that opens the widget in a viewer, a new one unless given."""
    desks: list[Desk] = []

    def open_desk(image: Any = None, names: str = "", *, viewer: Any = None, **kwargs: Any) -> Desk:
        if viewer is None:
            viewer = make_napari_viewer()
        if image is not None:
            viewer.add_image(image, **{"name": "Image", **kwargs})
        _, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
        widget.controller.pool.models["starter"] = starter
        widget.warm_up.stop()
        # One view: what the window does with a result does not depend on how good it is.
        widget.controller.settings = replace(widget.controller.settings, views="single")
        made = Desk(viewer, widget, qtbot)
        desks.append(made)
        if names:
            made.type_names(names)
        return made

    yield open_desk
    for made in desks:
        made.controller.shut_down()
    QApplication.processEvents()
