"""Evaluation of a segmenter whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress
from napari_wildseg.evaluation import EvaluationSet, compare, evaluate, evaluate_steps

from .helpers import FakeResult, FakeSegmenter, write_set

CLASSES = {"0": "background", "4": "cat", "9": "dog", "20": "fly"}


@pytest.fixture
def masks():
    """Two images of 40 x 40: a band of class 4, and one of 9 with a speck of 20."""
    first, second = np.zeros((2, 40, 40), np.uint8)
    first[:20] = 4
    second[20:] = 9
    second[0, :3] = 20  # under 1 %: not known
    second[5, :] = 255
    return {"a": first, "b": second}


@pytest.fixture
def data(tmp_path, masks):
    masks["nothing"] = np.zeros((40, 40), np.uint8)
    return EvaluationSet.open(write_set(tmp_path / "set", masks, classes=CLASSES))


def test_figures_of_a_set_with_one_class_list(data):
    segmenter = FakeSegmenter()
    found = evaluate(segmenter, data)
    assert (found.images, found.skipped) == (2, 1)
    assert segmenter.asked == [["cat"], ["dog"]]
    # Worked out by hand: in the right-hand quarter of the columns everything is background.
    missed = 10 * 20
    background_true = (800) + (20 * 40 - 40 - 3)
    background = background_true / (background_true + 2 * missed + 3)
    expected = {"background": background, "cat": 0.75, "dog": 0.75}
    assert found.per_class == pytest.approx(expected)
    assert found.miou == pytest.approx(np.mean(list(expected.values())))
    assert found.miou_classes == found.to_json()["miou_classes"] == pytest.approx(0.75)
    # The fly is too small to be known anywhere: nobody asked for it.
    assert found.miou_all == pytest.approx(np.mean([*expected.values(), 0.0]))
    assert found.stages["refined"] == found.miou
    assert found.stages["single view"] < found.stages["augmented"] < found.stages["refined"]
    assert found.image_miou == pytest.approx(0.75)
    assert found.seconds == {"encode": 1.0, "relevance": 0.25, "refine": 0.5}
    assert set(found.to_json()) >= {"images", "miou", "stages", "per_class", "seconds"}
    assert "clicks" not in found.to_json()


def test_names_per_image_average_the_foreground(tmp_path, masks):
    labels = {"a": {"4": "black swan"}, "b": {"9": "frog", "20": "fly"}}
    data = EvaluationSet.open(write_set(tmp_path / "set", masks, labels=labels))
    found = evaluate(FakeSegmenter(), data)
    assert found.miou == pytest.approx((0.75 + (0.75 + 0.0) / 2) / 2)
    assert found.miou_classes == found.miou
    assert found.per_class == pytest.approx({"black swan": 0.75, "frog": 0.75, "fly": 0.0})


def test_clicks(data):
    found = evaluate(FakeSegmenter(), data, clicks=6)
    assert len(found.clicks) == 7
    assert found.clicks[0] == pytest.approx(found.image_miou)
    assert found.clicks == sorted(found.clicks)
    assert found.clicks[1] > found.clicks[0]
    assert 0 < found.noc85 <= 7
    assert found.seconds["rerun"] >= 0


def test_noc_counts_one_more_where_the_target_is_missed(data):
    found = evaluate(FakeSegmenter("0.1"), data, clicks=1)
    assert found.noc85 == 2


def test_automatic_labels(data):
    segmenter = FakeSegmenter(suggestions=[("dog", 0.9), ("cat", 0.6), ("fly", 0.2)])
    found = evaluate(segmenter, data, labels="auto")
    assert segmenter.vocabulary == ("cat", "dog", "fly")
    assert segmenter.asked == [["dog", "cat"]] * 2
    assert found.per_class["cat"] == pytest.approx(0.75)


def test_automatic_labels_ask_for_one_name_at_least(data):
    segmenter = FakeSegmenter(suggestions=[("dog", 0.1), ("cat", 0.05)])
    evaluate(segmenter, data, labels="auto")
    assert segmenter.asked == [["dog"]] * 2


def test_limit_takes_images_from_the_whole_set(data):
    assert evaluate(FakeSegmenter(), data, limit=1).images == 1
    assert evaluate(FakeSegmenter(), data, limit=100).images == 2


def test_progress_names_the_image(data):
    steps = list(evaluate_steps(FakeSegmenter(), data))
    assert all(isinstance(step, Progress) for step in steps)
    assert "Image 2 of 3: Encoding view 1 of 1" in [step.stage for step in steps]
    assert [step.total for step in steps] == [3] * len(steps)


def test_options_that_make_no_sense(data):
    with pytest.raises(InputError, match="known"):
        evaluate(FakeSegmenter(), data, labels="some")
    with pytest.raises(InputError, match="annotator needs known labels"):
        evaluate(FakeSegmenter(), data, labels="auto", clicks=3)
    with pytest.raises(InputError, match='or "person", not "lasso"'):
        evaluate(FakeSegmenter(), data, clicks=3, annotator="lasso")


def test_who_paints_more_at_a_time_is_done_sooner(data):
    reached = [
        evaluate(FakeSegmenter(), data, clicks=1, annotator=name).clicks[1]
        for name in ("dab", "stroke", "fill")
    ]
    assert reached[0] < reached[1] <= reached[2]


def test_drops_of_a_segmenter_that_only_gets_better(data):
    found = evaluate(FakeSegmenter(), data, clicks=3)
    assert found.drops["refinements"] == 4  # Two dabs an image leave nothing wrong.
    assert [found.drops[key] for key in ("0.02", "0.05", "0.15", "worst", "lost")] == [0] * 5
    assert found.to_json()["drops"] == found.drops
    assert evaluate(FakeSegmenter(), data).drops is None


def test_drops_of_a_segmenter_that_forgets_the_other_half(data):
    """A refinement that makes everything background unless it was painted."""
    segmenter = FakeSegmenter()
    segmenter.refine = lambda fixed: FakeResult(np.maximum(fixed, 0).astype(np.uint8))
    drops = evaluate(segmenter, data, clicks=1).drops
    # From 0.75 to what one dab of 9 to 10 columns covers of half an image, in both images.
    assert drops["refinements"] == 2
    assert drops["0.15"] == 1
    assert 0.4 < drops["worst"] < 0.75
    assert drops["lost"] == 0  # Background is all that was not painted, and it was kept.


def test_drops_of_each_refiner(data):
    one, two = compare(FakeSegmenter(), data, ["default", "0.5"], clicks=1)
    assert one.to_json()["drops"]["refinements"] == two.drops["refinements"] == 2
    assert compare(FakeSegmenter(), data, ["default"])[0].drops is None


def test_a_set_without_known_classes(tmp_path):
    masks = {"a": np.zeros((30, 30), np.uint8)}
    data = EvaluationSet.open(write_set(tmp_path / "set", masks, classes=CLASSES))
    with pytest.raises(InputError, match="covers 1 %"):
        evaluate(FakeSegmenter(), data)


def test_refiners_side_by_side(data):
    segmenter = FakeSegmenter()
    best, worst = compare(segmenter, data, ["0.9", "0.2"], clicks=4)
    assert (best.refiner, worst.refiner) == ("0.9", "0.2")
    assert best.miou > worst.miou
    assert best.clicks[0] == pytest.approx(0.9)
    assert worst.clicks[0] == pytest.approx(0.2)
    assert len(best.clicks) == 5
    assert best.noc85 == 0
    assert worst.noc85 == 5
    assert best.boundary_f > worst.boundary_f
    assert best.rerun >= 0
    assert segmenter.refiner == "default"


def test_refiners_without_clicks(data):
    (only,) = compare(FakeSegmenter(), data, ["default"])
    assert only.clicks == [pytest.approx(0.75)]
    assert only.noc85 is None
    assert only.rerun is None
    with pytest.raises(InputError, match="each once"):
        compare(FakeSegmenter(), data, ["default", "default"])
    with pytest.raises(InputError, match='or "person", not "lasso"'):
        compare(FakeSegmenter(), data, ["default"], clicks=1, annotator="lasso")
