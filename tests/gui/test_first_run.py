"""The very first run of a napari: quick to open, no PyTorch, no crash, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FIRST_RUN = """
import json, sys, time
from dataclasses import replace
import napari
from qtpy.QtCore import QEventLoop, QTimer
from skimage import data

viewer = napari.Viewer(show=True)
viewer.add_image(data.coffee()[::2, ::2], name="coffee")
started = time.process_time()
_, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
seconds = time.process_time() - started
heavy = [name for name in ("torch", "open_clip", "timm") if name in sys.modules]
print(json.dumps([seconds, heavy]))
controller = widget.controller
controller.settings = replace(controller.settings, views="single")
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
segmenter = ws.Segmenter(views="single")
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
    (seconds, heavy), first, console = map(json.loads, run.stdout.splitlines()[-3:])
    # A second is the promise. Time of the processor counts, and three times as much of it, so that
    # neither a busy machine nor a slow one is taken for a slow window.
    assert seconds < 3
    assert heavy == []
    right, imported, pid = first
    assert (right, imported) == (True, False)
    assert not Path(f"/proc/{pid}").exists()
    assert console == [True, True]
