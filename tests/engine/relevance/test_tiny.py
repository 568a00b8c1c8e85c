"""With a model that was trained, maps mean something: they point at what is named.

The tiny CLIP ViT (training/tiny_clip.py) knows coloured shapes. Pictures are drawn here, from
seeds that training did not use.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from tiny_shapes import COLOURS, SHAPES, draw_scene
from torch.nn import functional as F

from napari_wildseg.engine.images.encoding import encode_steps
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.segmenter import Segmenter

TINY = Path(__file__).parents[2] / "data" / "tiny_clip.safetensors"


@pytest.fixture(scope="module")
def tiny():
    assert TINY.stat().st_size < 600_000
    return load_model(str(TINY), device="cpu")


def scenes(count: int, seed: int, *, held_out: bool = False):
    rng = np.random.default_rng(seed)
    return [draw_scene(rng, held_out=held_out) for _ in range(count)]


def pointing(model, method: str, pictures, *, exchanged: bool = False) -> float:
    """The pointing game: the share of maps that are highest on the thing that is named.

    As in Zhang et al. (IJCV 2018) a near miss counts, here of up to half a patch (4 pixels): the
    arms of a cross are narrower than a patch.
    """
    chosen = get_method(method, model)
    background = model.encode_text(["ground"])
    hits = []
    for scene in pictures:
        encoding = drain(encode_steps(scene.image, model, chosen, "single"))
        names = scene.names[::-1] if exchanged else scene.names
        maps = encoding.relevance(model, model.encode_text(names), background)
        maps = F.interpolate(maps[None], scene.image.shape[:2], mode="bilinear")[0].numpy()
        for values, mask in zip(maps, scene.masks, strict=True):
            hits.append(distance_transform_edt(~mask).ravel()[values.argmax()] <= 4)
    return float(np.mean(hits))


def test_model_names_what_it_sees(tiny):
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    rng = np.random.default_rng(31)
    pictures = [draw_scene(rng, held_out=False, most=1) for _ in range(100)]
    batch = torch.from_numpy(np.stack([p.image for p in pictures])).permute(0, 3, 1, 2) / 255
    batch = (batch - torch.tensor(tiny.mean).view(3, 1, 1)) / torch.tensor(tiny.std).view(3, 1, 1)
    with torch.no_grad():
        best = (F.normalize(tiny.visual(batch), dim=-1) @ tiny.encode_text(names).T).argmax(1)
    right = [names[b] == p.names[0] for b, p in zip(best, pictures, strict=True)]
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("count", [30, pytest.param(60, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("method", ["attention", "clip-es", "dense"])
def test_maps_point_at_the_named_shape(tiny, method, count):
    assert pointing(tiny, method, scenes(count, 41)) >= 0.95


@pytest.mark.parametrize("method", ["attention", "clip-es", "dense"])
def test_exchanged_names_point_at_the_other_shape(tiny, method):
    """The game can be lost: maps of names that are exchanged miss nearly always."""
    pictures = [s for s in scenes(60, 42) if len(s.things) == 2]
    assert len(pictures) >= 10
    assert pointing(tiny, method, pictures, exchanged=True) <= 0.2


def test_through_the_whole_pipeline(tiny):
    """Names in, masks out, with the ViT: the labels overlap the shapes."""
    segmenter = Segmenter(tiny, views="fast")
    overlaps = []
    for scene in scenes(6, 43):
        segmenter.set_image(scene.image)
        result = segmenter.segment(list(scene.names))
        for info, mask in zip(result.classes, scene.masks, strict=True):
            found = result.labels == info.id
            overlaps.append((found & mask).sum() / (found | mask).sum())
    assert np.mean(overlaps) >= 0.5


def test_finished_images_teach_a_name_that_the_model_does_not_know(tiny):
    """ "widget" is any shape: four scenes teach it, though the next ones have other colours."""
    pictures = scenes(10, 44)
    truths = [np.any(scene.masks, axis=0) for scene in pictures]
    segmenter = Segmenter(tiny, views="single", memory=ClassMemory())

    def overlap(place: int) -> float:
        segmenter.set_image(pictures[place].image)
        found = segmenter.segment("widget").labels == 1
        return float((found & truths[place]).sum() / (found | truths[place]).sum())

    before = [overlap(place) for place in range(4, 10)]
    for scene, truth in zip(pictures[:4], truths[:4], strict=True):
        segmenter.set_image(scene.image)
        segmenter.segment("widget", refine=False)
        segmenter.remember(labels=truth.astype(np.uint8))
    after = [overlap(place) for place in range(4, 10)]
    assert np.mean(after) >= np.mean(before) + 0.1
