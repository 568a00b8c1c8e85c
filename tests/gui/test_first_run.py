"""The very first run of a napari: the window imports no PyTorch, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
pid = controller.pool.engine.pid
print(json.dumps([bool(viewer.layers["coffee labels"].data.any()), "torch" in sys.modules, pid]))
viewer.screenshot(canvas_only=True)

# The same napari's console, once a canvas was drawn.
import numpy as np
import napari_wildseg as ws
segmenter = ws.Segmenter()
segmenter.set_image(np.zeros((64, 64, 3), np.uint8))
print(json.dumps([segmenter.segment("cat").labels.shape == (64, 64), "torch" in sys.modules]))
viewer.close()
"""


def test_the_first_run_does_not_crash():
    """From the widget, and from Python once a canvas was drawn."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", FIRST_RUN],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    (right, imported, pid), console = map(json.loads, run.stdout.splitlines()[-2:])
    assert (right, imported) == (True, False)
    assert not Path(f"/proc/{pid}").exists()
    assert console == [True, True]
