"""Models that are not here, would not work, or are released."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QAction
from safetensors.numpy import save_file

from .annotator import NAMES, paint, wrong_spot


def test_a_model_that_is_not_here_is_offered(desk, photo, monkeypatch):
    from napari.utils.notifications import notification_manager

    from napari_wildseg.gui.actions import controller

    asked = []

    def download_job(engine, model):
        asked.append(model)
        yield from ()
        return model

    monkeypatch.setattr(controller, "download_job", download_job)
    d = desk(photo, NAMES)
    d.control("model").setCurrentText("ViT-B-16/openai")
    d.widget.image.apply_model()
    d.run("auto_segment")
    assert "not on this machine" in d.status
    note = notification_manager.records[-1]
    [(text, press)] = note.actions
    assert text == "Download (599 MB)"

    class Dialog:
        def close(self):
            pass

    press(Dialog())
    d.qtbot.waitUntil(lambda: bool(asked))
    d.wait()
    assert asked == ["ViT-B-16/openai"]


def test_a_model_that_would_not_work_is_not_offered(desk, photo, tmp_path):
    from napari.utils.notifications import notification_manager

    d = desk(photo, NAMES)
    weights = tmp_path / "x.safetensors"
    save_file({"logit_scale": np.zeros((), np.float32)}, weights)
    d.control("model").setCurrentText(f"swin_base_patch4_window7_224:{weights}")
    d.widget.image.apply_model()
    d.run("auto_segment")
    assert "not supported" in d.status
    assert not notification_manager.records[-1].actions, "a download would be for nothing"


def test_the_model_can_be_released(desk, photo, engine):
    d = desk(photo, NAMES)
    d.run("auto_segment")
    labels = d.layer()
    painted = paint(labels, wrong_spot(labels, 2), 2)
    before = engine.pid
    d.control("more")
    d.widget.findChild(QAction, "release_model").trigger()
    d.wait()
    assert not engine.alive, "the memory is free"
    assert "free again" in d.status
    d.run("refine")
    assert (labels.data[painted] == 2).all()
    assert engine.pid != before
