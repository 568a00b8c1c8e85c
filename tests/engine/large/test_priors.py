"""Windows agree and learn, and are looked into again only where something changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from napari_wildseg.engine.images.grid import grid_of
from napari_wildseg.engine.large import Box, LargeSegmenter
from napari_wildseg.engine.large.priors import WORK_SIDE, WindowPriors
from napari_wildseg.engine.large.tile import WALK_STEP
from napari_wildseg.engine.large.tile_corrections import LargeCorrections
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.refine.learning.learn import Learner
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.superpixels import Superpixels

from .test_segmenter import NAMES, corrections_of, picture

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (640, 420)


@pytest.fixture(scope="module")
def encoded(small_model):
    segmenter = LargeSegmenter(small_model("RN"), views="fast", background=("sky",))
    segmenter.set_image(picture(shape=SHAPE))
    return segmenter


@pytest.fixture(scope="module")
def related(encoded):
    return drain(encoded.relate_steps(NAMES)).priors


@pytest.fixture
def priors(related):
    """What no other test has asked anything."""
    return copy.deepcopy(related)


@pytest.fixture
def looked_into(priors, monkeypatch):
    """Numbers of the windows that were looked into."""
    numbers = []
    change = WindowPriors._change

    def remember(self, index, *rest):
        numbers.append(index)
        return change(self, index, *rest)

    monkeypatch.setattr(WindowPriors, "_change", remember)
    return numbers


def corrected(*dabs):
    return LargeCorrections(corrections_of(*dabs, shape=SHAPE), SHAPE, (1, 2))


def everything(priors, threshold, corrections):
    return [
        priors.probabilities(index, threshold, corrections) for index in range(len(priors.boxes))
    ]


def test_only_windows_with_other_corrections_are_looked_into_again(priors, looked_into):
    everything(priors, 0.5, None)
    assert looked_into == list(range(len(priors.boxes)))
    looked_into.clear()
    dab = corrected((40, 60, 2))
    everything(priors, 0.5, dab)
    touched = [i for i, window in enumerate(priors.boxes) if window.overlaps(Box(36, 56, 45, 65))]
    assert looked_into == touched
    assert len(touched) < len(priors.boxes)
    looked_into.clear()
    everything(priors, 0.5, dab)
    everything(priors, 0.5, corrected((40, 60, 2)))  # The same, said anew.
    assert not looked_into
    everything(priors, 0.4, dab)
    assert looked_into == list(range(len(priors.boxes)))


def test_what_is_kept_equals_what_is_found_anew(priors):
    everything(priors, 0.5, None)
    after = everything(priors, 0.5, corrected((40, 60, 2)))
    priors._changes.clear()
    for kept, anew in zip(after, everything(priors, 0.5, corrected((40, 60, 2))), strict=True):
        np.testing.assert_array_equal(kept, anew)
        np.testing.assert_allclose(kept.sum(0), 1, atol=1e-5)


def test_little_is_kept_of_windows_looked_into_long_ago(priors, looked_into, monkeypatch):
    monkeypatch.setattr("napari_wildseg.engine.large.priors._KEPT_BYTES", 0)
    dabs = corrected((40, 60, 2))
    first = priors.probabilities(0, 0.5, dabs)
    np.testing.assert_array_equal(priors.probabilities(0, 0.5, dabs), first)
    assert looked_into == [0, 0]


def test_preparing_a_box_can_be_stopped_before_every_window(priors, looked_into):
    box = Box(0, 0, 300, 300)
    steps = priors.prepare_steps(box, 0.5, None)
    for seen, _ in enumerate(steps):
        assert len(looked_into) == seen
    assert len(looked_into) == sum(window.overlaps(box) for window in priors.boxes) > 1
    looked_into.clear()
    priors.blend(box, 2, 0.5, None)
    assert not looked_into


def test_nobody_is_asked_where_one_label_leads_everywhere(priors, monkeypatch):
    monkeypatch.setattr(WindowPriors, "_scene", None)
    for values in everything(priors, 1.0, None):
        assert (values.argmax(0) == 0).all()


def test_places_that_are_alike_agree(priors, monkeypatch):
    odd = torch.rand(priors.grid, generator=torch.Generator().manual_seed(0)) < 0.1
    held = torch.where(odd, 0.4, 0.7)
    monkeypatch.setattr(priors, "_prior", lambda *_: torch.stack([1 - held, held, 0 * held]))
    leads = priors.probabilities(0, 0.5, None).argmax(0) == 1
    assert leads.float().mean() > 0.98


def test_a_window_s_superpixels_say_as_much_of_a_dab_as_those_of_an_ordinary_image(priors):
    ordinary, side = DefaultOptions(), 384  # of a window that the starter looks at
    assert priors._scene(0).superpixels.index.size <= (side / WALK_STEP) ** 2
    superpixels = [
        Superpixels.of(torch.zeros(3, *grid_of((side, side), cells)), options.superpixels)
        for options, cells in ((ordinary, 300), (priors.options, WORK_SIDE))
    ]
    assert side**2 / len(superpixels[1]) < 480 * 640 / len(superpixels[0])
    dab = np.full((side, side), -1, np.int16)
    dab[200:216, 200:216] = 1
    said = []
    for cut, options in zip(superpixels, (ordinary, priors.options), strict=True):
        learner = Learner(cut, torch.ones(len(cut), 1), options.learning)
        radius = np.array([0.07 * cut.index.shape[0]])
        said.append(float(learner._stroke_precision(learner.find(dab), radius, 2).sum()))
    assert len(superpixels[1]) < 0.7 * len(superpixels[0])
    assert said[1] == pytest.approx(said[0], rel=0.1)
