"""The simulated annotator who slips, and the drops that are counted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.evaluation.annotators.annotator import next_dab, simulate
from napari_wildseg.evaluation.annotators.person import correct_slip, draw_stroke, is_slip
from napari_wildseg.evaluation.drops import Drops, lost_share


def scene(seed=0):
    """A band of class 3 in background, a square of 5, a corner ignored; one pixel is the seed."""
    truth = np.zeros((120, 160), np.uint8)
    truth[40:75, 20:120] = 3
    truth[85:115, 100:150] = 5
    truth[:10, :10] = 255
    truth[119, seed] = 255
    return truth


def stroke(truth, number):
    return next_dab(truth, np.zeros_like(truth), [0, 3, 5], annotator="person", number=number)


def share_of(truth, dab):
    return float((truth[dab.pixels] != dab.label).mean())


def test_a_share_of_a_stroke_lies_in_other_classes():
    found = [(seed, stroke(scene(seed), n)) for seed in range(12) for n in range(10)]
    shares = np.array([share_of(scene(seed), dab) for seed, dab in found])
    slipped = np.array([dab.slipped for _, dab in found])
    assert slipped.sum() == 12
    assert (shares[slipped] >= 0.6).all()
    # Uniform from 0 to 0.3.
    assert shares[~slipped].mean() == pytest.approx(0.15, abs=0.02)
    assert shares[~slipped].max() <= 0.31
    assert len(np.unique(shares)) > 100


def test_every_tenth_stroke_on_an_image_slips():
    slipped = [n for n in range(40) if is_slip(scene(), n)]
    assert np.diff(slipped).tolist() == [10, 10, 10]
    others = {next(n for n in range(10) if is_slip(scene(seed), n)) for seed in range(40)}
    assert len(others) > 5


def test_strokes_are_the_same_again_and_ignored_pixels_are_never_painted():
    for number in range(10):
        one, two = stroke(scene(), number), stroke(scene(), number)
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert not (one.pixels & (scene() == 255)).any()
    assert (stroke(scene(), 1).pixels != stroke(scene(), 2).pixels).any()


def test_a_stroke_follows_the_mistake_and_runs_over_its_ends():
    truth = scene()
    number = next(n for n in range(10) if not is_slip(truth, n))
    dab = stroke(truth, number)
    assert dab.label == 3
    columns = np.nonzero((dab.pixels & (truth == 3)).any(0))[0]
    assert columns.min() < 35
    assert columns.max() > 105
    # The brush is 17 wide: no more than that and its wobble.
    assert dab.pixels[:, 70].sum() <= 17
    middles = [np.flatnonzero(dab.pixels[:, c]).mean() for c in range(45, 95)]
    assert 0.5 < np.ptp(middles) <= 9


def test_what_lies_beside_is_beside_the_stroke():
    """The wrong part of a stroke hangs together with its right part."""
    from scipy import ndimage

    for number in range(10):
        assert ndimage.label(stroke(scene(), number).pixels, np.ones((3, 3)))[1] == 1


def test_a_slip_is_put_right_by_the_next_stroke():
    truth = scene()
    slip = stroke(truth, next(n for n in range(10) if is_slip(truth, n)))
    label, pixels = correct_slip(truth, slip.label, slip.pixels)
    assert label == 0
    assert (truth[pixels] == 0).all()
    assert (slip.pixels & (truth == 0) & ~pixels).sum() == 0
    assert correct_slip(truth, 3, truth == 3) is None


def test_simulation_puts_slips_right():
    truth = next(scene(seed) for seed in range(50) if is_slip(scene(seed), 0))
    seen = []

    def refine(corrections):
        seen.append(corrections)
        return np.where(corrections >= 0, corrections, 0).astype(np.uint8)

    simulate(truth, np.zeros_like(truth), [3, 5], refine, clicks=2, annotator="person")
    wrong = [int(((fixed >= 0) & (fixed != truth)).sum()) for fixed in seen]
    assert wrong[0] > 500
    assert wrong[1] == 0


def test_where_there_is_one_class_only_nothing_is_beside():
    truth = np.full((60, 60), 2, np.uint8)
    for number in range(10):
        dab = next_dab(truth, np.zeros_like(truth), [2], annotator="person", number=number)
        assert (truth[dab.pixels] == 2).all()
        assert dab.pixels.any()


def test_a_stroke_on_a_single_pixel():
    truth = np.zeros((40, 40), np.uint8)
    truth[20, 20] = 1
    for number in range(10):
        painted = draw_stroke(truth, 1, np.array([[20, 20]]), number, 8)
        assert painted.sum() < 5


def test_drops_are_counted():
    drops = Drops()
    for change, lost in [(0.1, 0.0), (-0.03, 0.1), (-0.2, None), (-0.06, 0.2)]:
        drops.add(change, lost)
    assert drops.to_json() == {
        "refinements": 4,
        "0.02": 0.75,
        "0.05": 0.5,
        "0.15": 0.25,
        "worst": 0.2,
        "lost": pytest.approx(0.1),
    }
    assert Drops().to_json() == dict.fromkeys(drops.to_json(), 0)


def test_pixels_of_other_classes_that_are_lost():
    truth = np.array([[0, 1, 2, 2, 255]], np.uint8)
    before = np.array([[0, 0, 2, 2, 0]], np.uint8)
    after = np.array([[1, 1, 2, 1, 1]], np.uint8)
    # Right before and not of class 1: one pixel of 0, two of 2; one of each is lost.
    assert lost_share(truth, before, after, 1) == pytest.approx(2 / 3)
    assert lost_share(truth, before, after, 2) == 1
    assert lost_share(truth, np.full_like(truth, 1), after, 1) is None
