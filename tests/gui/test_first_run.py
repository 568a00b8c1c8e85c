"""The very first run, in a process of its own: libraries are loaded while the window is up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FIRST_RUN = """
import json, sys
import napari
from qtpy.QtCore import QEventLoop, QTimer
from skimage import data

viewer = napari.Viewer(show=True)
viewer.add_image(data.coffee()[::2, ::2], name="coffee")
_, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
assert "torch" not in sys.modules
controller = widget.controller
controller.add_classes("cup of coffee, table")
widget.run.auto_segment.click()
loop, poll = QEventLoop(), QTimer()
# Not processEvents in a loop: PySide6 6.12 gives away a reference to None at each call.
# Not to the end: a program may be left in the middle of a new layer's coming.
poll.timeout.connect(lambda: "coffee labels" in viewer.layers and loop.quit())
poll.start(20)
loop.exec()
print(json.dumps([bool(viewer.layers["coffee labels"].data.any()), "torch" in sys.modules]))
viewer.close()
"""

CONSOLE = """
import json, sys
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show=True)
viewer.add_image(np.zeros((64, 64)))
QApplication.processEvents()
viewer.screenshot(canvas_only=True)
import napari_wildseg as ws
segmenter = ws.Segmenter()
segmenter.set_image(np.zeros((64, 64, 3), np.uint8))
print(json.dumps([segmenter.segment("cat").labels.shape == (64, 64), "torch" in sys.modules]))
viewer.close()
"""


@pytest.mark.parametrize("script", [FIRST_RUN, CONSOLE], ids=["widget", "console"])
def test_the_first_run_loads_everything_and_does_not_crash(script):
    """From the widget, and from Python once a canvas was drawn."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads(run.stdout.splitlines()[-1]) == [True, True]
