"""A name is answered by the classes it stands for, not by their average alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_wildseg.engine.models import starter
from napari_wildseg.engine.relevance.cam import CamRelevance
from napari_wildseg.engine.relevance.hyponyms import (
    HYPONYM_CUT,
    OWN_WEIGHT,
    reach,
    relevance_of_names,
)

pytestmark = pytest.mark.usefixtures("one_thread")

BREEDS = 8


@pytest.fixture(scope="module")
def model():
    return starter.load_starter()


@pytest.fixture
def concepts():
    """Eight breeds that exclude each other, with a little in common, and two other things."""
    rows = torch.eye(12)[: BREEDS + 2]
    rows[:BREEDS, 10] = 0.5
    return F.normalize(rows, dim=1)


@pytest.fixture
def dog(concepts):
    return F.normalize(concepts[:BREEDS].mean(0), dim=0)


def test_one_breed_is_a_dog(concepts, dog):
    """Features of one breed speak against the others, so the average hardly answers."""
    collie = 10 * (2 * concepts[0] - F.normalize(concepts[1:BREEDS].mean(0), dim=0))
    teapot = 10 * concepts[BREEDS]
    places = torch.stack([collie, teapot])
    average = dog @ places.T
    assert average[0] < 1.5
    (found,) = relevance_of_names(dog[None], places, concepts)
    assert found[0] > 8
    assert found[1] < 1


def test_a_class_answers_with_its_own_row(concepts):
    places = torch.randn(7, 12, generator=torch.Generator().manual_seed(0))
    found = relevance_of_names(concepts[[BREEDS, 9]], places, concepts)
    torch.testing.assert_close(found, concepts[[BREEDS, 9]] @ places.T)


def test_the_value_is_that_of_the_formula(concepts):
    generator = torch.Generator().manual_seed(1)
    text = F.normalize(torch.rand(3, 12, generator=generator), dim=1)
    places = torch.randn(5, 12, generator=generator)
    found = relevance_of_names(text, places, concepts)
    for row, values in zip(text, found, strict=True):
        cosines = (concepts @ row).tolist()
        top = max(cosines)
        for place, value in zip(places, values.tolist(), strict=True):
            best = max(
                (c / top) ** 0.5 * float(place @ k)
                for c, k in zip(cosines, concepts, strict=True)
                if c >= HYPONYM_CUT * top
            )
            expected = (1 - OWN_WEIGHT) * best + OWN_WEIGHT * float(place @ row) / top**0.5
            assert value == pytest.approx(expected, abs=1e-5)


def test_a_name_far_from_every_class_is_answered_by_itself(concepts):
    places = torch.randn(4, 12, generator=torch.Generator().manual_seed(2))
    away = -F.normalize(concepts.mean(0), dim=0)[None]
    found = relevance_of_names(away, places, concepts)
    own = away @ places.T
    torch.testing.assert_close(found / found.abs().max(), own / own.abs().max())
    assert relevance_of_names(away[:0], places, concepts).shape == (0, 4)


def test_names_do_not_depend_on_what_else_is_asked(concepts, dog):
    places = torch.randn(6, 12, generator=torch.Generator().manual_seed(3))
    alone = relevance_of_names(dog[None], places, concepts)
    beside = relevance_of_names(torch.stack([concepts[9], dog]), places, concepts)
    torch.testing.assert_close(beside[1:], alone)


def test_each_list_of_names_is_asked_for_itself(concepts, dog):
    """What is kept of names from one view to the next is not mistaken for that of others."""
    places = torch.randn(6, 12, generator=torch.Generator().manual_seed(4))
    first = relevance_of_names(dog[None], places, concepts)
    other = relevance_of_names(concepts[[9]], places, concepts)
    assert not torch.allclose(first, other)
    torch.testing.assert_close(
        relevance_of_names(dog[None], places, concepts), first, rtol=0, atol=0
    )
    torch.testing.assert_close(
        relevance_of_names(dog[None], places[:2], concepts[:BREEDS]),
        first[:, :2],
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("name", "kind", "other"),
    [("dog", "collie", "teapot"), ("bird", "magpie", "sports car"), ("car", "jeep", "magpie")],
)
def test_the_starter_sees_kinds_of_what_was_asked_for(model, name, kind, other):
    """Where the classifier is sure of one class, and so against its siblings."""
    text = model.encode_text([name, kind, other])
    siblings = model.concepts[(model.concepts @ text[0]).topk(30).indices].mean(0)
    place = 20 * (text[1] - siblings)
    plain = text @ place
    found = relevance_of_names(text, place[None], model.concepts)[:, 0]
    assert plain[0] < 0.2 * plain[1]
    assert found[0] > 0.4 * found[1]
    assert found[2] < 0.2 * found[0]


def test_relevance_asks_this_way_only_where_classes_are_known(model):
    pixels = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(4))
    method = CamRelevance()
    (encoding,) = method.encode(model, pixels)
    last = encoding.tensors["last"]
    text = model.encode_text(["dog", "teapot"])
    maps = method.relevance(model, encoding, text, text[:0])
    places = last.flatten(1).T.contiguous()
    expected = relevance_of_names(text, places, model.concepts).reshape(2, *last.shape[1:])
    torch.testing.assert_close(maps, expected)
    plain = torch.einsum("kc,chw->khw", text, last)
    assert not torch.allclose(maps[0], plain[0], rtol=0.1)


def test_mixtures_reach_less(model):
    low, high = reach(model.encode_text(["person", "zebra"]), model.concepts)
    assert low < high
