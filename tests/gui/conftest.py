"""A real viewer with the real widget and the real starter model, loaded once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

# In one process, other tests may draw a canvas before torchvision is first imported, which would
# crash here as it would for annotators (see engine/import_guard.py; test_first_run.py tests that).
sys.modules.setdefault("triton", None)

# Nothing of the annotator's own settings is read or written.
os.environ["NAPARI_CONFIG"] = ""

import napari  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from qtpy.QtCore import QEvent  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

from napari_wildseg.engine.progress import drain  # noqa: E402
from napari_wildseg.gui.jobs import engines  # noqa: E402
from napari_wildseg.process import client  # noqa: E402

TIMEOUT = 120_000
"""Milliseconds after which what is waited for will not come; no test is to be lost on a machine
that is slow or busy with other things."""

HOUR = 3_600_000


@pytest.fixture(scope="session")
def manifests_read_once():
    """Have the manifests of plugins read once, not again for each viewer."""
    from npe2 import PluginManifest

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PluginManifest, "from_file", cache(PluginManifest.from_file))
        yield


@pytest.fixture(scope="session")
def plugins(manifests_read_once):
    """Find the plugins, as napari does when its window is made."""
    from npe2 import PluginManager

    PluginManager.instance().discover()


@pytest.fixture(scope="session")
def shared_viewer(qapp, manifests_read_once):
    """One viewer for all tests that need no window of their own: to make one takes a second."""
    viewer = napari.Viewer(show=False, show_welcome_screen=False)
    viewer.add_image(np.zeros((8, 8)))
    viewer.add_labels(np.zeros((8, 8), np.uint8))
    empty(viewer)
    gc.freeze()  # what is imported by now; see tests/conftest.py
    yield viewer
    viewer.close()


@pytest.fixture
def empty_viewer(shared_viewer):
    """The shared viewer, without layers and dock widgets, as a new one is."""
    yield shared_viewer
    empty(shared_viewer)


def empty(viewer: napari.Viewer) -> None:
    """Make a viewer as good as new."""
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    viewer.dims.reset()
    viewer.dims.order = tuple(range(viewer.dims.ndim))
    viewer.cursor.position = (1.0, 1.0)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def new_viewer(qtbot, manifests_read_once):
    """Return a function that makes a viewer, closed after the test."""
    made: list[napari.Viewer] = []

    def make(*, show: bool = False) -> napari.Viewer:
        made.append(napari.Viewer(show=show, show_welcome_screen=False))
        if show:
            qtbot.waitExposed(made[-1].window._qt_window)
        return made[-1]

    yield make
    for viewer in made:
        with suppress(RuntimeError):  # a test may have closed it
            viewer.close()


@pytest.fixture
def qtbot(qtbot):
    """Wait that long unless a test says otherwise, not five seconds."""
    for name in ("waitUntil", "waitSignal", "waitExposed"):
        setattr(qtbot, name, partial(getattr(qtbot, name), timeout=TIMEOUT))
    return qtbot


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
        self.qtbot.waitUntil(lambda: not self.controller.working)
        # The read-out follows on a timer.
        self.qtbot.waitUntil(lambda: not self.widget._count.isActive())

    def finish(self) -> None:
        """Wait until the worker has done, or dropped, whatever it was asked for."""
        from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker

        ended: list[bool] = []
        shared_worker().submit(Job(lambda: iter(()), on_end=lambda: ended.append(True)))
        self.qtbot.waitUntil(lambda: bool(ended))

    def run(self, name: str) -> None:
        self.click(name)
        self.wait()

    def slide(self, value: float) -> None:
        """Move the threshold and see what comes of it; the slider is not at rest until `rest`."""
        settle = self.widget.run._settle
        settle.setInterval(HOUR)
        self.control("threshold").setValue(value)
        assert settle.isActive()
        self.wait()

    def rest(self) -> None:
        """Have the slider at rest, as a quarter of a second without a move does."""
        settle = self.widget.run._settle
        settle.start(0)
        self.qtbot.waitUntil(lambda: not settle.isActive())
        self.wait()

    def layer(self, suffix: str = " labels") -> Any:
        return self.viewer.layers[self.controller.image.name + suffix]

    @property
    def status(self) -> str:
        return self.control("status").text()


@pytest.fixture(scope="session")
def engine():
    """The engine process, which all tests share, as all widgets of a napari do."""
    user = object.__new__(type("User", (), {}))
    engines.join(user)
    client.GRACE = 60.0  # a step of a busy machine is no reason to start a process anew
    drain(engines.runs().call("warm", model="starter"))
    yield engines.runs()
    engines.leave(user)


@pytest.fixture
def desk(empty_viewer, new_viewer, qtbot, engine) -> Callable[..., Desk]:
    """Return a function that opens the widget in a viewer, at first the shared one."""
    desks: list[Desk] = []

    def open_desk(image: Any = None, names: str = "", *, viewer: Any = None, **kwargs: Any) -> Desk:
        if viewer is None:
            viewer = new_viewer() if desks else empty_viewer
        if image is not None:
            viewer.add_image(image, **{"name": "Image", **kwargs})
        _, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
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
        with suppress(RuntimeError):  # a test may have closed the dock
            made.widget.deleteLater()
    QApplication.processEvents()
