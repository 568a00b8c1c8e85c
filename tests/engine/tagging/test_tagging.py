"""Image-level labels: what is there comes first, at one cut, whatever the vocabulary's length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.names.tagging import distinct, tag
from napari_wildseg.engine.names.tagging.places import local_embeddings
from napari_wildseg.engine.names.tagging.scores import local_shares, mean_cosine, similarity
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.engine.segmenter import Segmenter
from tests.engine.small_models import TOWERS, make_model

COCO = load_vocabulary("coco")


@pytest.fixture(scope="module")
def starter():
    return load_model("starter")


@pytest.fixture(scope="module", params=["chelsea", "coffee", "motorcycle"])
def segmenter(request, starter):
    one = Segmenter(starter, views="single")
    one.set_image(load_sample(request.param))
    one.sample = request.param
    return one


EXPECTED = {
    "chelsea": ({"cat"}, {"Egyptian cat", "tabby", "tiger cat"}),
    "coffee": ({"cup"}, {"espresso", "coffee mug"}),
    "motorcycle": ({"motorcycle"}, {"moped", "motor scooter"}),
}


def test_what_is_there_comes_first_in_short_and_long_lists(segmenter):
    short, long = EXPECTED[segmenter.sample]
    for vocabulary, right in (("coco", short), ("imagenet", long)):
        found = segmenter.suggest(vocabulary)
        assert found[0][0] in right
        assert found[0][1] >= PRESENT_SCORE
        assert sum(score >= PRESENT_SCORE for _, score in found) <= 5


def test_scores_hardly_depend_on_the_length_of_the_list(segmenter):
    (name,) = EXPECTED[segmenter.sample][0]
    for names in ([name], [name, "zebra"], COCO):
        assert dict(segmenter.suggest(names, top=80))[name] >= PRESENT_SCORE
    absent = dict(segmenter.suggest(["zebra", "toilet", "kite"], top=3))
    assert max(absent.values()) < PRESENT_SCORE


def test_scores_are_shares_sorted_and_repeatable(segmenter):
    found = segmenter.suggest("coco", top=80)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert segmenter.suggest("coco", top=80) == found


def test_no_forward_pass_is_run(segmenter, monkeypatch):
    def fail(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(segmenter.model.network, "encode_image", fail)
    monkeypatch.setattr(type(segmenter._encoding.method), "encode", fail)
    assert segmenter.suggest("voc")


def test_near_duplicates_are_merged_unless_asked_for(segmenter):
    (name,) = EXPECTED[segmenter.sample][0]
    names = [name, f"a {name}", f"{name}s", "zebra"]
    merged = [n for n, _ in segmenter.suggest(names)]
    assert len({*merged} - {"zebra"}) == 1
    assert len(segmenter.suggest(names, merge_duplicates=False)) == 4


def test_the_whole_image_is_scored_by_cosine(segmenter):
    found = dict(segmenter.suggest(COCO, top=80, whole_image=True))
    assert len(found) == 80
    text = segmenter.model.encode_text(["cat"])[0]
    cosine = float(text @ segmenter._encoding.encodings[0].embedding)
    assert found["cat"] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize("kind", sorted(TOWERS))
def test_every_convolutional_tower_gives_scores(kind):
    segmenter = Segmenter(make_model(kind), views="single")
    segmenter.set_image(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    found = segmenter.suggest(["red cat", "blue dog", "sky", "tree"], top=4)
    assert all(0 <= score <= 1 for _, score in found)


def test_places_of_a_linear_tower_average_to_the_images_embedding(starter):
    segmenter = Segmenter(starter, views="single")
    segmenter.set_image(load_sample("coffee"))
    mean = local_embeddings(segmenter._encoding, starter).mean((1, 2))
    whole = segmenter._encoding.encodings[0].embedding
    assert torch.nn.functional.cosine_similarity(mean, whole, dim=0) > 0.97


def unit(*rows):
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


def test_a_rival_that_means_the_same_does_not_count(starter):
    """A sofa is no evidence against a couch; a horse would be."""
    couch, sofa, horse = starter.encode_text(["couch", "sofa", "horse"])
    places = (8 * couch)[:, None]
    others = starter.encode_text([name for name in COCO if name != "couch"])
    alone = local_shares(places, couch[None], others, starter)
    with_sofa = local_shares(places, couch[None], torch.cat([others, sofa[None]]), starter)
    assert abs(float(alone - with_sofa)) < 0.05
    assert float(local_shares(places, horse[None], others, starter)) < 0.1


def test_similarity_takes_the_usual_cosine_off():
    rows = unit((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1))
    usual = mean_cosine(rows)
    assert usual == pytest.approx(0.5)
    assert similarity(rows, rows, usual) == pytest.approx(torch.eye(3), abs=1e-5)
    assert mean_cosine(rows[:1]) == 0


def test_related_names_are_one_where_they_are_seen_in_the_same_places():
    cup, espresso, sky = unit((1, 0, 0), (0.6, 0.8, 0), (0, 0, 1))
    rows = torch.stack([cup, espresso, sky])
    here = torch.zeros(40)
    here[:2] = 1
    there = here.flip(0)
    assert distinct(rows, torch.stack([here, here, here]), 0.0) == [0, 2]
    assert distinct(rows, torch.stack([here, there, here]), 0.0) == [0, 1, 2]


def test_long_lists_are_cut_to_the_candidates(starter):
    segmenter = Segmenter(starter, views="single")
    segmenter.set_image(load_sample("coffee"))
    names = [f"{a} {b}" for a in COCO for b in ("one", "two", "three")]
    found = tag(segmenter._encoding, starter, names, COCO, merge_duplicates=False)
    assert len(found) == 200
