"""Large images with a class memory: better labels, the same over windows and tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.large import Box, LargeSegmenter
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = "cell type A, cell type B"
SHAPE = (170, 150)
OPTIONS = {"views": "single", "background": ()}


def textures(seed, shape, discs):
    """Return an image of discs of two types on an even ground, and labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number in range(discs):
        row, column = random.integers(20, shape[0] - 20), random.integers(20, shape[1] - 20)
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= 22**2] = number % 2 + 1
    # The middle of a disc of type B is as bright as the ground: its texture tells it apart.
    rough = random.integers(0, 2, (shape[0] // 3 + 1, shape[1] // 3 + 1)).repeat(3, 0).repeat(3, 1)
    rough = rough[: shape[0], : shape[1]] * 140 - 70
    grey = 120 + np.choose(labels, [np.zeros(shape, int), np.full(shape, 70), rough])
    noise = random.normal(0, 6, (*shape, 3))
    return (grey[..., None] + noise).clip(0, 255).astype(np.uint8), labels


def mean_iou(found, truth):
    found = np.asarray(found)
    both = [
        ((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum() for k in (1, 2)
    ]
    return float(np.mean(both))


@pytest.fixture(scope="module")
def memory(small_model):
    """A memory of one finished image."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    segmenter = Segmenter(small_model("RN"), memory=ClassMemory(alike=True), **OPTIONS)
    image, labels = textures(1, (190, 170), 8)
    segmenter.set_image(image)
    segmenter.segment(NAMES, refine=False)
    segmenter.remember(labels=labels)
    segmenter.memory.prepare()
    torch.set_num_threads(threads)
    return segmenter.memory


@pytest.fixture(scope="module")
def opened(small_model):
    """A segmenter that holds a large image, and the image's true labels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image, truth = textures(2, SHAPE, 7)
    segmenter = LargeSegmenter(small_model("RN"), tile=80, detail=1, **OPTIONS)
    segmenter.set_image(image)
    torch.set_num_threads(threads)
    return segmenter, truth


def test_one_finished_image_makes_a_large_one_better(memory, opened):
    segmenter, truth = opened
    segmenter.memory = None
    plain = segmenter.segment(NAMES).labels.copy()
    assert "memory" not in segmenter.result.settings
    segmenter.memory = memory
    result = segmenter.segment(NAMES)
    labels = result.labels.copy()
    assert mean_iou(plain, truth) < 0.3  # 0.16
    assert mean_iou(labels, truth) > 0.8  # 0.89
    assert set(result.settings["memory"]) == {"cell type A", "cell type B"}
    assert '"cell type A": learned from 1 image.' in result.notices
    # What the threshold and the uncertainty see has the memory in it too.
    decided = segmenter.pseudo_labels(Box(0, 0, *SHAPE))
    assert mean_iou(decided, truth) > 0.6  # 0.69
    assert result.relevance.shape[0] == 2
    assert 0 <= segmenter.uncertainty().score <= 1
    # One tile and many give the same bytes: borders of tiles do not show.
    segmenter.tile = 512
    assert segmenter.segment(NAMES).labels.tobytes() == labels.tobytes()
    segmenter.tile = 80


def test_corrections_overrule_a_memory_and_a_rerun_equals_a_fresh_start(
    memory, opened, monkeypatch
):
    segmenter, _ = opened
    segmenter.memory = memory
    before = segmenter.segment(NAMES).labels.copy()
    dabs = np.full(SHAPE, -1, np.int16)
    dabs[20:30, 20:30] = 2
    dabs[130:140, 90:100] = 0
    one = np.where(dabs == 0, np.int16(-1), dabs)
    segmenter.refine(one)
    labels = segmenter.refine(dabs).labels.copy()
    np.testing.assert_array_equal(labels[dabs >= 0], dabs[dabs >= 0])
    assert (labels != before).sum() > 0
    # With nothing kept of the windows, everything is computed again.
    monkeypatch.setattr("napari_wildseg.engine.large.priors._KEPT_BYTES", 0)
    segmenter.tile = 512
    segmenter.segment(NAMES)
    assert segmenter.refine(dabs).labels.tobytes() == labels.tobytes()


def test_a_memory_of_other_views_is_refused(memory, small_model):
    image, _ = textures(3, (90, 90), 2)
    segmenter = LargeSegmenter(
        small_model("RN"), views="fast", background=(), tile=96, memory=memory
    )
    with pytest.raises(InputError, match="made with the views single, not fast"):
        segmenter.set_image(image)
