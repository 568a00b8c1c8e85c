"""TagCLIP's two looks, on the tiny model that was trained on drawn shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_wildseg.engine.images.views import View
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.names.tagging import tag, tag_whole
from napari_wildseg.engine.names.tagging.places import local_embeddings
from napari_wildseg.engine.names.tagging.rescore_regions import _in_view, read_regions
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.evaluation.tagging_scores import average_precision

TINY = Path(__file__).parents[2] / "data" / "tiny_clip.safetensors"
COLOURS = {
    "red": (215, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220),
    "yellow": (235, 215, 50), "purple": (150, 50, 180), "cyan": (60, 205, 215),
}  # fmt: skip
NAMES = [f"{colour} {shape}" for colour in COLOURS for shape in ("circle", "square")]


def scene(things):
    """Circles and squares in the quarters of a grey picture."""
    image = np.full((96, 96, 3), 120, np.uint8)
    rows, columns = np.mgrid[:96, :96]
    for quarter, thing in enumerate(things):
        colour, shape = thing.split()
        y, x = 26 + 44 * (quarter // 2), 26 + 44 * (quarter % 2)
        v, u = abs(rows - y), abs(columns - x)
        image[np.hypot(u, v) <= 16 if shape == "circle" else np.maximum(u, v) <= 14] = COLOURS[
            colour
        ]
    return image


SCENES = [
    ("red circle", "blue square"),
    ("yellow square", "cyan circle", "purple square"),
    ("green square", "red circle", "cyan square"),
    ("purple circle", "yellow square"),
]


@pytest.fixture(scope="module")
def model():
    return load_model(str(TINY))


def precision(found, things):
    scores = np.array([dict(found)[name] for name in NAMES])
    return average_precision(scores, np.array([name in things for name in NAMES]))


@pytest.mark.parametrize("method", [None, "dense", "attention"])
def test_places_beat_the_whole_image(model, method):
    segmenter = Segmenter(model, views="fast", method=method)
    local, whole = [], []
    for things in SCENES:
        segmenter.set_image(scene(things))
        encoding = segmenter._encoding
        local.append(precision(tag(encoding, model, NAMES, NAMES, merge_duplicates=False), things))
        whole.append(precision(tag_whole(encoding, model, NAMES), things))
    assert np.mean(local) > np.mean(whole)
    assert np.mean(local) > 0.8


def test_a_region_is_read_as_what_is_in_it(model):
    segmenter = Segmenter(model, views="fast")
    segmenter.set_image(scene(("red circle", "blue square")))
    places = local_embeddings(segmenter._encoding, model)
    side = places.shape[-1]
    regions = torch.zeros(2, side, side, dtype=torch.bool)
    regions[0, : side // 2, : side // 2] = True
    regions[1, : side // 2, side // 2 :] = True
    rows = read_regions(segmenter._encoding, model, places, regions)
    text = model.encode_text(["red circle", "blue square"])
    scores = rows @ text.T
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))


def test_regions_are_found_in_mirrored_and_cropped_views():
    regions = torch.zeros(1, 4, 4, dtype=torch.bool)
    regions[0, 0, 3] = True  # upper right
    plain = _in_view(regions, View(0, 0, 40, 40, 32, 32), (40, 40), (4, 4)).reshape(4, 4)
    mirrored = _in_view(regions, View(0, 0, 40, 40, 32, 32, flip=True), (40, 40), (4, 4))
    crop = _in_view(regions, View(0, 20, 20, 40, 32, 32), (40, 40), (4, 4)).reshape(4, 4)
    assert plain.nonzero().tolist() == [[0, 3]]
    assert mirrored.reshape(4, 4).nonzero().tolist() == [[0, 0]]
    assert crop.nonzero().tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
