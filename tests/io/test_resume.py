"""Going on with a project from Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg import Segmenter
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import LabelImage, Project, load_project, save_project
from napari_wildseg.io.project import image_digest


def test_the_very_same_state_comes_back_and_goes_on(tmp_path, starter, monkeypatch):
    monkeypatch.setattr("napari_wildseg.engine.segmenter_base.load_model", lambda *a, **k: starter)
    image = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    image[5:25, 5:25] = (200, 30, 40)
    segmenter = Segmenter(starter, views="single")
    segmenter.set_image(image)
    segmenter.segment("red ball=ball|red ball, lawn", threshold=0.3)
    corrections = np.full((40, 56), -1, np.int16)
    corrections[6:9, 6:9] = 1
    before = segmenter.refine(corrections)
    project = Project(
        LabelImage.from_result(before),
        pseudo_labels=before.pseudo_labels,
        relevance=before.relevance,
        image_digest=image_digest(image),
    )
    project = load_project(save_project(tmp_path / "x.wildseg", project))
    resumed = project.resume(image)
    after = resumed.result
    for name in ("labels", "pseudo_labels", "relevance", "corrections"):
        assert (getattr(after, name) == getattr(before, name)).all(), name
    for name in ("classes", "model", "settings"):
        assert getattr(after, name) == getattr(before, name), name
    assert resumed.threshold == segmenter.threshold == 0.3
    more = corrections.copy()
    more[30:35, 40:45] = 2
    assert (resumed.refine(more).labels == segmenter.refine(more).labels).all()
    with pytest.raises(InputError, match="not the image"):
        project.resume(255 - image)
    with pytest.raises(InputError, match="give the image they are of"):
        replace(project, image_digest="").resume(image[:30])
