"""What a model has little idea of is marked before it is asked: gibberish, not rare names."""

from __future__ import annotations

import pytest

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.names.familiarity import class_familiarity, familiarity
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from tests.engine.small_models import make_model

COMMON = ["cat", "Laptop", "people", "dogs", "cup of coffee", "a photo of a cat", "sky", "glasses"]
RARE = ["theremin", "axolotl", "pangolin", "ocarina", "samovar", "wombat", "black swan", "zeppelin"]
GIBBERISH = [
    "xqzzvb",
    "flurble",
    "asdfgh",
    "snizzle",
    "plimba",
    "quorl",
    "mxyzptlk",
    "zzzz",
    "hjkl",
]


def about(text):
    return class_familiarity(parse_classes([text])[0])


@pytest.mark.parametrize("name", COMMON + RARE)
def test_real_names_are_not_marked(name):
    assert not about(name).little
    assert about(name).notice == ""


@pytest.mark.parametrize("name", [*GIBBERISH, "12345", "the", "猫", "Katze"])
def test_what_was_never_taught_is_marked(name):
    found = about(name)
    assert found.value == 0
    assert found.little
    assert name in found.notice


def test_every_rare_name_is_ahead_of_every_gibberish():
    assert min(about(n).value for n in RARE) > max(about(n).value for n in GIBBERISH)


def test_the_head_of_a_phrase_counts_most():
    assert about("red flurble").little
    assert '"flurble" in "red flurble"' in about("red flurble").notice
    assert not about("dog on a flurble").little
    assert not about("bat (animal)").little


def test_the_best_prompt_counts():
    assert not about("xqzzvb=cat").little
    assert about("cat=xqzzvb").little


def test_slips_get_a_hint():
    assert "Did you mean giraffe?" in about("girafe").notice


@pytest.mark.parametrize(("name", "least"), [("voc", 1.0), ("coco", 1.0), ("ade20k", 0.97)])
def test_everyday_lists_are_known(name, least):
    names = load_vocabulary(name)
    known = [n for n in names if not about(n).little]
    assert len(known) >= least * len(names)


def test_only_the_starter_has_a_record():
    assert familiarity(make_model("RN"), parse_classes("cat")) is None
    found = familiarity(load_model("starter"), parse_classes("cat, flurble"))
    assert [one.little for one in found.values()] == [False, True]
