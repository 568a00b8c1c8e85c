"""The very first run, in a process of its own: libraries are loaded while the window is up."""

from __future__ import annotations

import json
import subprocess
import sys

from napari_wildseg.gui import import_guard

FIRST_RUN = """
import json, sys, time
import napari
from qtpy.QtWidgets import QApplication
from skimage import data

viewer = napari.Viewer(show=True)
viewer.add_image(data.coffee()[::2, ::2], name="coffee")
_, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
assert "torch" not in sys.modules
controller = widget.controller
controller.add_classes("cup of coffee, table")
widget.run.auto_segment.click()
end = time.monotonic() + 300
while controller.runner.running and time.monotonic() < end:
    QApplication.processEvents()
print(json.dumps([bool(viewer.layers["coffee labels"].data.any()), "torch" in sys.modules]))
viewer.close()
"""


def test_the_first_run_loads_everything_and_does_not_crash():
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", FIRST_RUN],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads(run.stdout.splitlines()[-1]) == [True, True]


def test_triton_is_kept_out_only_where_it_would_crash(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    maps = tmp_path / "maps"
    monkeypatch.setattr(import_guard, "_MAPS", maps)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert not import_guard.keep_out_triton(), "no such file: not told, not kept out"
    maps.write_text("7f00-7f01 r-xp /usr/lib/libnvidia-glcore.so\n")
    assert not import_guard.keep_out_triton()
    assert "triton" not in sys.modules
    maps.write_text("7f00-7f01 r-xp /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n")
    assert import_guard.keep_out_triton()
    assert sys.modules["triton"] is None
    assert import_guard.keep_out_triton()
    monkeypatch.setitem(sys.modules, "triton", sys)
    assert not import_guard.keep_out_triton(), "loaded before: too late and not needed"


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert not import_guard.keep_out_triton()
