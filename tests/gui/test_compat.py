"""Crashes with software OpenGL: with the guard napari lives, without it the process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_wildseg.gui.compat import deletions_after_draw

HEAD = """
import sys
import napari
import numpy as np
from napari_wildseg.gui import compat
viewer = napari.Viewer(show=True)
if sys.argv[1] == "guarded":
    compat.install(viewer)
"""

BRUSH = """
from qtpy.QtWidgets import QApplication
image = viewer.add_image(np.zeros((40, 60)))
labels = viewer.add_labels(np.zeros((40, 60), np.uint8))
viewer.screenshot(flash=False)
labels.mode = "paint"
QApplication.processEvents()
image.visible = False
QApplication.processEvents()
image.visible = True
QApplication.processEvents()
viewer.screenshot(canvas_only=False, flash=False)
viewer.layers.remove(labels)
QApplication.processEvents()
viewer.layers.clear()
QApplication.processEvents()
viewer.screenshot(canvas_only=False, flash=False)
"""

PROGRAMS = """
from qtpy.QtWidgets import QApplication
rng = np.random.default_rng(0)
layers = [
    viewer.add_image(rng.random((40, 60))),
    viewer.add_labels(np.ones((40, 60), np.uint8)),
    viewer.add_image(rng.random((40, 60, 3))),
]
viewer.screenshot(canvas_only=False, flash=False)
for layer in layers:
    viewer.layers.remove(layer)
    viewer.screenshot(canvas_only=False, flash=False)
    QApplication.processEvents()
viewer.add_image(rng.random((40, 60)))
viewer.screenshot(canvas_only=False, flash=False)
"""

TRITON = """
from napari_wildseg.engine import import_guard
if sys.argv[1] != "guarded":
    import_guard.keep_out_triton = lambda: False
viewer.add_image(np.zeros((64, 64)))
viewer.screenshot(flash=False)
from napari_wildseg.engine.models.light_import import import_open_clip
import_open_clip()
"""


def run(script: str, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HEAD + script + "viewer.close()", how]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_guards_keep_the_process_alive():
    """For triton see ``test_first_run.py``."""
    guarded = run(BRUSH + PROGRAMS, "guarded")
    assert guarded.returncode == 0, guarded.stderr[-3000:]


@pytest.mark.nightly
@pytest.mark.parametrize("script", [BRUSH, PROGRAMS, TRITON], ids=["brush", "programs", "triton"])
def test_each_guard_is_needed(script):
    guarded = run(script, "guarded")
    assert guarded.returncode == 0, guarded.stderr[-3000:]
    if run(script, "alone").returncode == 0:
        pytest.skip("this machine's OpenGL does not crash: see the versions in gui/compat.py")


def test_deletions_of_programs_wait_for_the_next_drawing():
    held = []
    first = [("DRAW", 1), ("DELETE", 2), ("DELETE", 3), ("FUNC", "glFinish")]
    now = deletions_after_draw(first, held, lambda number: number == 2)
    assert now == [("DRAW", 1), ("DELETE", 3), ("FUNC", "glFinish")]
    now = deletions_after_draw([("DRAW", 1), ("DRAW", 4)], held, lambda number: False)
    assert now == [("DRAW", 1), ("DELETE", 2), ("DRAW", 4)]
    assert not held
