"""A new refiner and a new relevance method are one module and one line, as ARCHITECTURE.md says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import napari_wildseg as ws
from napari_wildseg.cli.main import main
from napari_wildseg.engine import refine, relevance
from napari_wildseg.engine.progress import Progress
from napari_wildseg.engine.relevance.cam import CamRelevance


@dataclass(frozen=True)
class FloodOptions:
    value: int = 1


class Flood:
    """Fills the whole image with one label."""

    name = "flood"

    def __init__(self, image, n_classes, features, relevance, options):
        self.shape, self.value = image.shape[:2], options.value

    def run_steps(self, seeds, corrections, threshold):
        yield Progress(0, 1, "Flooding")
        labels = np.full(self.shape, self.value, np.uint8)
        return labels if corrections is None else np.where(corrections < 0, labels, corrections)


@dataclass(frozen=True)
class Mirrored(CamRelevance):
    """Class activation maps the wrong way round."""

    name = "mirrored"

    def relevance(self, model, encoding, text, background):
        return super().relevance(model, encoding, text, background).flip(-1)


@pytest.fixture
def new_refiner(monkeypatch):
    module = SimpleNamespace(Flood=Flood, FloodOptions=FloodOptions)
    monkeypatch.setitem(sys.modules, "napari_wildseg.engine.refine.flood", module)
    monkeypatch.setitem(refine._REFINERS, "flood", "flood:Flood:FloodOptions")


def test_a_refiner_in_python_and_in_the_terminal(new_refiner, tmp_path):
    image = np.zeros((32, 40), np.uint8)
    seeds = np.full((32, 40), 255)
    seeds[0, 0] = 2
    assert (ws.refine(image, seeds, method="flood", value=2) == 2).all()

    picture = tmp_path / "grey.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 80), np.uint8)).save(picture)
    command = ["segment", str(picture), "--labels", "cat", "--views", "single"]
    assert main([*command, "--refiner", "flood", "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "grey.png") as labels:
        assert np.unique(np.asarray(labels)).tolist() == [1]


def test_a_relevance_method(monkeypatch, starter):
    module = SimpleNamespace(Mirrored=Mirrored)
    monkeypatch.setitem(sys.modules, "napari_wildseg.engine.relevance.mirrored", module)
    monkeypatch.setitem(relevance._METHODS, "mirrored", "mirrored:Mirrored")
    from skimage import data

    maps = {}
    for method in ("cam", "mirrored"):
        segmenter = ws.Segmenter(starter, views="single", method=method)
        segmenter.set_image(data.rocket()[::4, :440:4])
        maps[method] = segmenter.segment("rocket", refine=False).relevance
        assert segmenter.result.settings["method"] == method
    # Not the very mirror image: the tower's cells do not lie evenly on the picture.
    straight, mirrored = (
        np.corrcoef(maps["mirrored"].ravel(), maps["cam"][..., ::step].ravel())[0, 1]
        for step in (1, -1)
    )
    assert mirrored > 0.8 > straight
