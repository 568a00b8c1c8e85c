"""Superpixels, what dabs reach, and what the corrections teach about the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.refine.learning.learn import Learner, Learning
from napari_wildseg.engine.refine.learning.reach import (
    find_dabs,
    find_reach,
    limit_radii,
    shrink_labels,
)
from napari_wildseg.engine.refine.learning.strokes import similarity
from napari_wildseg.engine.refine.superpixels import Superpixels

pytestmark = pytest.mark.usefixtures("one_thread")


def halves(shape=(60, 80)):
    """CIE Lab of a dark and a light half."""
    lab = torch.full((3, *shape), 0.0)
    lab[0] = 30
    lab[0, :, shape[1] // 2 :] = 70
    return lab


# -- superpixels


def test_superpixels_keep_to_the_edge():
    superpixels = Superpixels.of(halves(), 60)
    assert 30 <= len(superpixels) <= 90
    left, right = superpixels.index[:, :40], superpixels.index[:, 40:]
    assert not np.intersect1d(left, right).size
    assert superpixels.sizes.sum() == 60 * 80
    assert set(superpixels.colours[:, 0].round().tolist()) == {30, 70}


@pytest.mark.parametrize("shape", [(2, 2), (1, 50), (16, 16)], ids=str)
def test_a_tiny_image_is_cut_into_its_pixels(shape):
    superpixels = Superpixels.of(torch.zeros(3, *shape), 1000)
    assert len(superpixels) == shape[0] * shape[1]
    np.testing.assert_array_equal(superpixels.index.ravel(), np.arange(len(superpixels)))


def test_averages_are_those_of_the_pixels():
    """On a grid of the image's own size: the plain mean over each superpixel."""
    superpixels = Superpixels.of(halves(), 60)
    maps = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))
    expected = [
        [float(layer.numpy()[superpixels.index == i].mean()) for layer in maps]
        for i in range(len(superpixels))
    ]
    np.testing.assert_allclose(superpixels.average(maps), expected, atol=1e-5)
    np.testing.assert_allclose(superpixels.average(torch.ones(1, 7, 5)), 1, atol=1e-5)


def test_painting_gives_every_pixel_its_superpixels_value():
    superpixels = Superpixels.of(halves(), 60)
    painted = superpixels.paint(torch.arange(len(superpixels)).float()[:, None])
    np.testing.assert_array_equal(painted[0], superpixels.index)


# -- reach


def test_a_stroke_is_a_region_of_one_label_and_speaks_from_its_middle():
    corrections = np.full((40, 100), -1, np.int16)
    corrections[19:22, 29:32] = 1
    corrections[19:24, 32:37] = 0
    corrections[2, 3] = corrections[3, 4] = 1
    dabs = find_dabs(corrections)
    assert dabs.labels.tolist() == [0, 1, 1]
    assert dabs.centres.tolist() == [[21, 34], [2, 3], [20, 30]]
    assert dabs.depths.tolist() == [3, 1, 2]
    assert dabs.index[3, 4] == dabs.index[2, 3] == 1
    assert dabs.index[0, 0] == -1
    np.testing.assert_array_equal(dabs.index >= 0, corrections >= 0)


def test_a_dab_reaches_to_the_nearest_place_of_its_label():
    labels = np.zeros((40, 100), np.int64)
    labels[:, 60:] = 1
    centre = np.array([20, 30])
    assert find_reach(1, centre, labels, 1000) == 30
    assert find_reach(1, centre, labels, 12) == 12
    assert find_reach(0, centre, labels, 1000) == 0
    assert find_reach(2, centre, labels, 1000) == 1000
    labels[23, 34] = 2
    assert find_reach(2, centre, labels, 12.5) == 5


def test_a_dab_reaches_half_way_to_one_of_another_label():
    corrections = np.full((40, 100), -1, np.int16)
    corrections[19:22, 29:32] = corrections[19:22, 34:37] = 1
    corrections[19:22, 49:52] = 0
    assert limit_radii(find_dabs(corrections), np.full(3, 30.0)).tolist() == [7.5, 10, 7.5]


def test_more_dabs_than_can_be_followed_leave_the_smallest_out():
    corrections = np.full((80, 80), -1, np.int16)
    corrections[::4, ::4] = 1
    corrections[40:43, 40:43] = 1
    dabs = find_dabs(corrections)
    assert len(dabs) == 256
    assert [41, 41] in dabs.centres.tolist()
    assert set(np.unique(dabs.index)) == set(range(-1, 256))


def test_a_lower_resolution_loses_no_stroke():
    corrections = np.full((100, 60), -1, np.int16)
    corrections[99, 59], corrections[3, 7] = 2, 0
    small = shrink_labels(corrections, (10, 6))
    assert small[9, 5] == 2
    assert small[0, 0] == 0
    assert (small >= 0).sum() == 2


# -- learning


def learner(**options):
    superpixels = Superpixels.of(halves(), 200)
    return Learner(superpixels, superpixels.features([]), Learning(**options))


def test_one_dab_turns_what_looks_alike_and_was_in_doubt():
    learning = learner()
    left = learning.superpixels.places[:, 1] < 0.5
    prior = torch.where(left, 0.55, 0.8)[:, None].repeat(1, 2)
    prior[:, 0] = 1 - prior[:, 1]
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 18:23] = 0
    after = prior + learning.change(prior, corrections)
    assert (after[left, 0] > 0.5).all()
    assert (after[~left, 1] > 0.5).float().mean() > 0.9
    torch.testing.assert_close(after.sum(1), torch.ones(len(prior)), atol=1e-4, rtol=0)


def test_the_doubtful_changes_more_than_the_certain():
    learning = learner(reach_precision=0.0)
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 18:23] = 0
    moved = []
    for sure in (0.6, 0.99):
        prior = torch.tensor([[1 - sure, sure]]).repeat(len(learning.superpixels), 1)
        moved.append(float((prior + learning.change(prior, corrections))[:, 0].mean()))
    assert moved[0] > moved[1]


def test_superpixels_of_which_the_maps_say_the_same_are_wrong_together():
    """A dab of background on "cat" says more of other cats than of as doubtful dogs beside it."""
    learning = learner(reach_precision=0.0)
    superpixels = learning.superpixels
    cat = torch.arange(len(superpixels)) % 2 == 0
    prior = torch.where(cat[:, None], torch.tensor([0.1, 0.8, 0.1]), torch.tensor([0.1, 0.1, 0.8]))
    corrections = np.full((60, 80), -1, np.int16)
    dabbed = int(superpixels.index[30, 20])
    corrections[superpixels.index == dabbed] = 0
    change = learning.change(prior, corrections)[:, 0]
    others = torch.arange(len(superpixels)) != dabbed
    same = cat if cat[dabbed] else ~cat
    near = others & (superpixels.places[:, 1] < 0.5)
    assert change[near & same].mean() > 1.2 * change[near & ~same].mean()
    blind = learner(reach_precision=0.0, prior_scale=1e6).change(prior, corrections)[:, 0]
    ratio = blind[near & same].mean() / blind[near & ~same].mean()
    assert 0.9 < ratio < 1.1


def test_other_maps_of_the_same_image_are_learned_about_as_if_they_were_the_first():
    """The kernel is kept from dab to dab, and not from one list of classes to another."""
    learning = learner()
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 18:23] = 0
    sure = torch.linspace(0.2, 0.9, len(learning.superpixels))
    first = torch.stack([1 - sure, sure], dim=1)
    second = torch.stack([1 - sure, 0.3 * sure, 0.7 * sure], dim=1)
    learning.change(first, corrections)
    kernel = learning._kernel
    torch.testing.assert_close(
        learning.change(first.clone(), corrections), learner().change(first, corrections)
    )
    assert learning._kernel is kernel
    for prior in (second, first):
        torch.testing.assert_close(
            learning.change(prior, corrections), learner().change(prior, corrections)
        )


def test_a_dab_that_says_what_is_known_changes_little():
    learning = learner()
    prior = torch.tensor([[0.95, 0.05]]).repeat(len(learning.superpixels), 1)
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 18:23] = 0
    assert learning.change(prior, corrections).abs().max() < 0.06


def test_a_dab_on_what_was_certain_lowers_the_belief_in_the_maps():
    """The right half is as sure as ever; it follows the dab more where the maps proved wrong."""
    learning = learner(reach_precision=0.0, stroke_exponent=0.0)
    left = learning.superpixels.places[:, 1] < 0.5
    moved = []
    for sure in (0.6, 0.99):
        prior = torch.where(left, sure, 0.8)[:, None].repeat(1, 2)
        prior[:, 0] = 1 - prior[:, 1]
        corrections = np.full((60, 80), -1, np.int16)
        corrections[28:33, 18:23] = 0
        moved.append(
            learning._trust_factor(learning._errors_under_dabs(prior, find_dabs(corrections)))
        )
    assert moved[0] > 5 * moved[1]


def test_every_further_stroke_lowers_the_belief_in_the_maps():
    learning = learner()
    prior = torch.tensor([[0.2, 0.8]]).repeat(len(learning.superpixels), 1)
    beliefs = []
    corrections = np.full((60, 80), -1, np.int16)
    for column in (5, 25, 45, 65):
        corrections[28:33, column : column + 5] = 0
        beliefs.append(
            learning._trust_factor(learning._errors_under_dabs(prior, find_dabs(corrections)))
        )
    assert beliefs == sorted(set(beliefs), reverse=True)


def test_what_is_like_no_dab_keeps_its_label_however_wrong_the_maps_were():
    """Dabs of background on certain mistakes do not erase a thing of another colour."""
    learning = learner(reach_precision=0.0)
    x = learning.superpixels.places[:, 1]
    mistake, thing = x < 0.2, x > 0.8
    prior = torch.where(mistake, 0.99, torch.where(thing, 0.7, 0.02))[:, None].repeat(1, 2)
    prior[:, 0] = 1 - prior[:, 1]
    corrections = np.full((60, 80), -1, np.int16)
    corrections[5:55:10, 4:14:3] = 0
    after = prior + learning.change(prior, corrections)
    assert (after[mistake, 0] > 0.5).all()
    assert (after[thing, 1] > 0.6).all()


def test_a_dab_speaks_as_far_as_was_wrong_when_it_was_made(monkeypatch):
    """Where the others lead to its label anyway, a dab says nothing of its surroundings."""
    learning = learner(near=1.0)
    prior = torch.tensor([[0.9, 0.1]]).repeat(len(learning.superpixels), 1)
    corrections = np.full((60, 80), -1, np.int16)
    corrections[20:23, 10:13] = corrections[40:43, 30:33] = 1
    radii = []

    def remember(dabs, found):
        radii.append(found.tolist())
        return found

    monkeypatch.setattr("napari_wildseg.engine.refine.learning.learn.limit_radii", remember)
    learning.change(prior, corrections)
    others = []

    def agree(values):
        others.extend(values)
        return values.flip(2)  # Everything is 1 already when the annotator looks.

    learning.change(prior, corrections, agree)
    assert all(0 < radius <= 0.07 * 80 for radius in radii[0])
    assert radii[1] == [0, 0]
    # Of the two, each has been heard when the other is left out.
    first, second = (
        int(learning.superpixels.index[row, column]) for row, column in ((21, 11), (41, 31))
    )
    assert others[0][second, 1] > others[0][first, 1] + 0.1
    assert others[1][first, 1] > others[1][second, 1] + 0.1


def test_the_order_of_many_strokes_does_not_count_nor_does_their_number_end_it():
    learning = learner()
    prior = torch.tensor([[0.7, 0.3]]).repeat(len(learning.superpixels), 1)
    corrections = np.full((60, 80), -1, np.int16)
    corrections[1::4, 1::4] = 1
    after = prior + learning.change(prior, corrections)
    assert torch.isfinite(after).all()
    assert (after[:, 1] > 0.5).all()


def test_dabs_of_background_leave_a_small_thing_more_where_labels_are_balanced():
    x_of = learner().superpixels.places[:, 1]
    thing = x_of > 0.8
    prior = torch.where(thing, 0.8, 0.02)[:, None].repeat(1, 2)
    prior[:, 0] = 1 - prior[:, 1]
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 66:70] = 0
    left = [
        float((prior + learner(balance=balance).change(prior, corrections))[thing, 1].mean())
        for balance in (0.0, 0.5)
    ]
    assert left[1] > left[0] + 0.02


def told_elsewhere(height, width, **options):
    """All the left half looks alike; the maps are fairly sure of it. What is left of that below?"""
    learning = learner(reach_precision=0.0, **options)
    prior = torch.tensor([[0.1, 0.9]]).repeat(len(learning.superpixels), 1)
    elsewhere = (learning.superpixels.places - torch.tensor([0.75, 0.0])).abs().amax(1) < 0.4
    corrections = np.full((60, 80), -1, np.int16)
    corrections[3 : 3 + height, 2 : 2 + width] = 0
    return float((prior + learning.change(prior, corrections))[elsewhere, 1].mean())


def test_a_long_stroke_speaks_no_louder_of_what_is_like_it_than_a_dab():
    dab, stroke = told_elsewhere(5, 5), told_elsewhere(5, 35)
    assert abs(stroke - dab) < 0.05
    assert told_elsewhere(5, 35, max_stroke_weight=1000.0) < dab - 0.05


def test_a_filled_region_says_little_of_what_is_like_it():
    assert told_elsewhere(25, 30, thick=2.0) > told_elsewhere(5, 5, thick=2.0) + 0.1
    assert told_elsewhere(25, 30, thick=1000.0) < told_elsewhere(25, 30, thick=2.0) - 0.1


def test_a_long_stroke_pulls_altogether_as_a_dab_does_and_a_thick_one_less():
    corrections = np.full((60, 80), -1, np.int16)
    corrections[0:3, 0:60] = 1
    corrections[20:39, 20:70] = 0  # 10 deep
    learning = learner(thick=5.0, consistent=0.0)
    pull = learning.pull(learning.find(corrections)).numpy()
    density = len(learning.superpixels) / 4800
    np.testing.assert_allclose(pull[corrections == 1].sum() * density, 1, rtol=1e-5)
    thin = (5 / (np.pi * 100 * density)) ** 2
    np.testing.assert_allclose(pull[corrections == 0].sum() * density, thin, rtol=1e-5)
    assert (pull[corrections < 0] == 1).all()


def test_pixels_that_contradict_their_stroke_count_less():
    """A stroke of background on the dark half that runs over into the light one."""
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 10:44] = 0
    learning = learner()
    dabs = learning.find(corrections)
    weights = learning._consistency(dabs)
    inside, over = corrections[:, :40] == 0, corrections[:, 40:] == 0
    assert weights[:, 40:][over].max() < 0.5 * weights[:, :40][inside].min()
    np.testing.assert_allclose(weights[corrections == 0].mean(), 1)
    assert (weights[corrections < 0] == 1).all()
    prior = torch.tensor([[0.3, 0.7]]).repeat(len(learning.superpixels), 1)
    light = (learning.superpixels.places[:, 1] > 0.55) & (learning.superpixels.places[:, 0] < 0.2)
    moved = [
        float(made.change(prior, corrections)[light, 0].mean())
        for made in (learning, learner(consistent=0.0))
    ]
    assert moved[0] < 0.85 * moved[1]


def test_what_only_the_end_of_a_stroke_covers_is_not_like_the_stroke():
    """A stroke on the dark half that runs over into the light one, and a dab on the dark half."""
    learning = learner()
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 10:44] = 0
    corrections[5:10, 10:15] = 1
    dabs = learning.find(corrections)
    stroke, dab = similarity(dabs, learning.superpixels.index, learning._points)
    under = learning.superpixels.index[30, 10:44]
    dark, light = under[:28], under[31:]
    assert stroke[dark].min() > 0.8
    assert stroke[light].max() < 0.4, "though parts of the stroke lie on it"
    assert dab[dark].min() > 0.8
    assert float(stroke.max()) <= 1


def test_a_stroke_over_one_thing_or_half_on_another_counts_in_full():
    learning = learner()
    for columns in (slice(5, 35), slice(25, 55)):
        corrections = np.full((60, 80), -1, np.int16)
        corrections[28:33, columns] = 0
        weights = learning._consistency(learning.find(corrections))[corrections == 0]
        assert weights.min() > 0.8
        assert weights.max() < 1.2


def test_the_kernel_is_exact_where_a_dab_is_however_low_its_rank():
    """The one feature is that of a superpixel at the left; the dab is at the right."""
    learning = learner(rank=1, reach_precision=0.0)
    right = learning.superpixels.places[:, 1] > 0.5
    prior = torch.tensor([[0.45, 0.55]]).repeat(len(learning.superpixels), 1)
    corrections = np.full((60, 80), -1, np.int16)
    corrections[28:33, 58:63] = 0
    after = prior + learning.change(prior, corrections)
    assert (after[right, 0] > 0.8).all()


def test_a_stroke_thinner_than_a_working_pixel_speaks_by_the_part_it_covers():
    """One of 64 pixels counts as the whole superpixel with 64 times the variance."""
    superpixels = Superpixels.of(torch.zeros(3, 16, 16), 1000)
    features = superpixels.features([])
    prior = torch.tensor([[0.4, 0.6]]).repeat(len(superpixels), 1)
    whole = np.full((16, 16), -1, np.int16)
    whole[5, 7] = 0
    thin = np.full((128, 128), -1, np.int16)
    thin[5 * 8 + 3, 7 * 8 + 4] = 0
    expected = Learner(superpixels, features, Learning(noise=64 * 0.05)).change(prior, whole)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(Learner(superpixels, features).change(prior, thin), expected)


def favoured(strokes, won=0.6):
    """Mean probability of label 1 on free superpixels of the left half, after the bonus on 0."""
    learning = learner()
    corrections = np.full((60, 80), -1, np.int16)
    for rows, columns in strokes:
        corrections[rows, columns] = 1
    count = len(learning.superpixels)
    first = torch.tensor([[0.9, 0.1]]).repeat(count, 1)
    after = torch.tensor([[1 - won, won]]).repeat(count, 1)
    held = learning.favour(after, first, corrections)
    free = torch.ones(count, dtype=torch.bool)
    free[torch.from_numpy(learning.superpixels.index[corrections >= 0])] = False
    torch.testing.assert_close(held.sum(1), torch.ones(count))
    torch.testing.assert_close(held[~free], after[~free])
    return float(held[free & (learning.superpixels.places[:, 1] < 0.5), 1].mean())


EVEN = (slice(28, 33), slice(10, 20))
UNLIKE = (slice(28, 33), slice(25, 55))


OTHERS = [(slice(row, row + 5), UNLIKE[1]) for row in (2, 14, 42, 54)]


def test_small_margins_change_nothing_after_one_stroke_over_unlike_things():
    assert favoured([UNLIKE]) < 0.5 < favoured([EVEN])
    assert favoured([UNLIKE, *OTHERS], won=0.99) > 0.5


def test_more_strokes_hold_less_back():
    few = favoured([UNLIKE])
    assert favoured([UNLIKE, *OTHERS]) > few + 0.05


def test_a_label_that_was_painted_on_other_things_wins_by_a_larger_margin():
    """The left half is painted; the right half looks otherwise."""
    learning = learner()
    corrections = np.full((60, 80), -1, np.int16)
    corrections[EVEN] = 1
    count = len(learning.superpixels)
    first = torch.tensor([[0.9, 0.1, 0.0]]).repeat(count, 1)
    after = torch.tensor([[0.4, 0.6, 0.0]]).repeat(count, 1)
    held = learning.favour(after, first, corrections)
    left = learning.superpixels.places[:, 1] < 0.5
    assert (held[left, 1] > 0.5).all()
    assert (held[~left].argmax(1) == 0).all()
    # Nothing was painted with the third label.
    third = after[:, [0, 2, 1]]
    assert (learning.favour(third, first, corrections).argmax(1) == 0)[~(left)].all()
