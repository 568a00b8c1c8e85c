"""Windows agree and learn, and are looked into again only where something changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.large import Box, LargeSegmenter
from napari_wildseg.engine.large.corrections import LargeCorrections
from napari_wildseg.engine.large.priors import WindowPriors

from .test_segmenter import NAMES, corrections_of, picture

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (640, 420)


@pytest.fixture
def priors(small_model):
    segmenter = LargeSegmenter(small_model("RN"), views="fast", background=("sky",))
    segmenter.set_image(picture(shape=SHAPE))
    steps = segmenter.relate_steps(NAMES)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value.priors


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
    touched = [i for i, window in enumerate(priors.boxes) if window.meets(Box(36, 56, 45, 65))]
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
    assert len(looked_into) == sum(window.meets(box) for window in priors.boxes) > 1
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
