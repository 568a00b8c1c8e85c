"""A class that is not in the image comes out empty, says so, and comes back when it is wanted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.maps.presence import ABSENT, MIN_WEIGHT, Presence, PresenceTest
from napari_wildseg.engine.maps.pseudo_labels import normalise
from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.engine.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def on_cat(starter):
    """A segmenter that holds a cat's portrait, at half size."""
    segmenter = Segmenter(starter, views="fast")
    segmenter.set_image(load_sample("chelsea")[::2, ::2])
    return segmenter


def share(result, class_id):
    return (result.labels == class_id).mean()


def test_what_is_not_there_gets_no_pixel_and_a_sentence(on_cat):
    result = on_cat.segment("cat, car, airplane")
    assert [info.name for info in result.left_out] == ["car", "airplane"]
    assert share(result, 1) > 0.1
    assert not share(result, 2)
    assert not share(result, 3)
    assert not np.isin(result.pseudo_labels, (2, 3)).any()
    told = [notice for notice in result.notices if "left out" in notice]
    assert len(told) == 2
    assert '"car"' in told[0]
    assert "lower the threshold" in told[0]
    assert "dab" in told[0]


def test_names_that_are_not_there_change_less_about_those_that_are(on_cat, monkeypatch):
    def overlap():
        alone = on_cat.segment("cat").labels == 1
        among = on_cat.segment("car, airplane, cat").labels == 3
        return (alone & among).sum() / (alone | among).sum()

    judged = overlap()
    monkeypatch.setattr(
        PresenceTest, "__call__", lambda self, classes, text: Presence.unknown(len(classes))
    )
    assert judged > overlap() + 0.15


def test_nothing_that_was_named_is_there(on_cat):
    result = on_cat.segment("car, airplane")
    assert not result.labels.any()
    assert len(result.left_out) == len(result.notices) == 2
    assert on_cat.refine().left_out == result.left_out


def test_a_dab_brings_a_class_in(on_cat):
    result = on_cat.segment("cat, car")
    dab = np.full(result.labels.shape, -1, np.int16)
    dab[4:12, 4:12] = 2
    again = on_cat.refine(dab)
    assert share(again, 2) > (dab == 2).mean()
    assert not again.left_out
    assert not any("left out" in notice for notice in again.notices)
    assert on_cat.refine().left_out == result.left_out


def test_a_low_threshold_lets_a_class_in(on_cat):
    before = on_cat.threshold
    result = on_cat.segment("car", threshold=0.0)
    assert share(result, 1) > 0
    assert (result.pseudo_labels == 1).any()
    assert not result.left_out
    on_cat.segment("car", threshold=before)
    assert on_cat.pseudo_labels(0.0).any()
    assert not (on_cat.pseudo_labels(before) == 1).any()


@pytest.mark.parametrize("name", ["flurble", "mitochondrion", "hoverfly"])
def test_words_that_the_model_does_not_know_are_never_left_out(on_cat, name):
    assert not on_cat.segment(f"cat, {name}").left_out


def test_other_models_judge_nothing(small_model):
    segmenter = Segmenter(small_model("RN"), views="single", background=("sky",))
    segmenter.set_image(np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8))
    assert not segmenter.segment("ball, lawn").left_out


def test_background_words_are_not_needed(starter):
    segmenter = Segmenter(starter, views="single", background=())
    segmenter.set_image(load_sample("chelsea")[::4, ::4])
    assert segmenter.segment("cat, airplane").labels.any()


def test_who_is_doubted_has_less_say_and_who_is_absent_a_low_map():
    maps = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    plain = normalise(maps)
    doubted = normalise(maps, presence=Presence(torch.tensor([9.0, ABSENT + 0.5, 9.0])))
    absent = normalise(maps, presence=Presence(torch.tensor([9.0, ABSENT - 1, 9.0])))
    torch.testing.assert_close(plain, normalise(maps, presence=Presence.unknown(3)))
    assert doubted[1].sum() < plain[1].sum()
    assert doubted[0].sum() > plain[0].sum()
    assert doubted[1].max() == 1
    assert absent[1].max() == pytest.approx(MIN_WEIGHT)


def test_weight_grows_with_the_score():
    scores = torch.linspace(-7, 3, 21)
    weight = Presence(scores).weight
    assert (weight.diff() >= 0).all()
    assert weight[0] == pytest.approx(MIN_WEIGHT)
    assert weight[-1] == 1
    assert len(parse_classes("a, b")) == len(Presence.unknown(2).scores)


def test_what_rivals_are_to_a_model_is_kept_from_image_to_image(starter):
    segmenter = Segmenter(starter, views="single")
    image = load_sample("chelsea")[::4, ::4]
    segmenter.set_image(image)
    before = segmenter._rivals
    segmenter.segment("cat", refine=False)
    rows = before.rows
    segmenter.set_image(image[:, ::-1])
    assert segmenter._rivals is before
    assert before.rows is rows
    segmenter.background = ("sky",)
    segmenter.set_image(image)
    assert segmenter._rivals is not before
