"""Runs that are missing something, fail, are cancelled, or meet what is done meanwhile."""

from __future__ import annotations

import threading

import pytest
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_wildseg.gui.jobs.engine_jobs import segment_steps

from .annotator import NAMES


def test_auto_segment_without_names_or_image_says_what_is_missing(desk, photo):
    d = desk()
    d.click("auto_segment")
    assert "Open an image" in d.status
    d.viewer.add_image(photo)
    d.click("auto_segment")
    assert "Type what is in the image" in d.status
    d.click("refine")
    d.type_names(NAMES)
    d.click("refine")
    assert "Auto-segment first" in d.status
    d.click("export")
    assert "Auto-segment first" in d.status
    d.click("confirm_region")
    assert "Auto-segment first" in d.status


def test_failures_are_sentences(desk, photo):
    d = desk(photo, NAMES)
    d.controller.model = "no-such/model"
    d.run("auto_segment")
    assert "no-such" in d.status
    assert "Traceback" not in d.status
    assert [type(layer) for layer in d.viewer.layers] == [Image]
    assert not d.control("cancel").isEnabled()


def test_cancel_changes_nothing(desk, photo, qtbot):
    d = desk(photo, NAMES)
    cancel = d.control("cancel")
    assert not cancel.isEnabled()
    d.click("auto_segment")
    assert cancel.isEnabled()
    cancel.click()
    assert not cancel.isEnabled()
    assert "Cancelled" in d.status
    d.finish()
    assert len(d.viewer.layers) == 1
    d.run("auto_segment")
    assert len(d.viewer.layers) == 3


def test_the_latest_run_wins(desk, photo):
    d = desk(photo, "cup")
    d.click("auto_segment")
    d.type_names("spoon")
    d.click("auto_segment")
    d.wait()
    assert d.layer().features["class"].tolist() == ["background", "cup", "spoon", "not sure"]


def test_progress_is_in_the_activity_dock(desk, photo, qtbot, monkeypatch):
    from napari.utils import progress

    from napari_wildseg.gui.actions import controller
    from napari_wildseg.gui.jobs import runner

    seen = threading.Event()

    def not_over_before_it_is_seen(*args, **kwargs):
        steps = segment_steps(*args, **kwargs)
        yield next(steps)
        seen.wait()
        return (yield from steps)

    monkeypatch.setattr(runner, "DELAY", 0)
    monkeypatch.setattr(runner, "STATUS_INTERVAL", 0)
    monkeypatch.setattr(controller, "segment_steps", not_over_before_it_is_seen)
    d = desk(photo, NAMES)
    d.click("auto_segment")
    try:
        qtbot.waitUntil(lambda: bool(progress._all_instances))
        bars = list(progress._all_instances)
        assert len(bars) == 1
        bars[0].cancel()
        assert not d.controller.runner.running
        assert not progress._all_instances
    finally:
        seen.set()
    d.run("auto_segment")
    assert not progress._all_instances


@pytest.mark.parametrize("which", ["image", "labels", "all"])
def test_layers_deleted_in_mid_run(desk, photo, qtbot, which):
    d = desk(photo, NAMES, name="photo")
    d.run("auto_segment")
    d.type_names("saucer")
    d.click("auto_segment")
    if which == "image":
        d.viewer.layers.remove("photo")
        assert not d.controller.runner.running
    elif which == "labels":
        d.viewer.layers.remove("photo labels")
    else:
        d.viewer.layers.clear()
    d.wait()
    d.finish()
    if which == "labels":
        assert d.layer().data.any()
    else:
        assert "photo" not in d.viewer.layers


def test_switching_images_in_mid_run(desk, photo):
    d = desk(photo, NAMES, name="one")
    d.viewer.add_image(photo[::-1], name="two")
    d.widget.image.image.value = d.viewer.layers["one"]
    d.click("auto_segment")
    d.widget.image.image.value = d.viewer.layers["two"]
    d.wait()
    d.finish()
    assert len(d.viewer.layers) == 2
    d.run("auto_segment")
    assert "two labels" in d.viewer.layers
    assert "one labels" not in d.viewer.layers


def test_closing_the_dock_in_mid_run(desk, photo, qtbot):
    d = desk(photo, NAMES)
    d.click("auto_segment")
    controller = d.controller
    d.viewer.window.remove_dock_widget(d.widget)
    d.widget.deleteLater()
    QApplication.processEvents()
    qtbot.waitUntil(lambda: not controller.working)
    d.finish()
    d.viewer.add_image(photo)
    assert len(d.viewer.layers) == 2
