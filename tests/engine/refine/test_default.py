"""The default refiner: a dab repairs the object, stops at clear edges, and erases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.refine import start_refinement
from napari_wildseg.engine.refine.agreement import DenseCRF
from napari_wildseg.engine.refine.superpixels import Superpixels

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (96, 128)
BACKGROUND, RED, BLUE = (110, 115, 110), (200, 40, 40), (40, 60, 200)


def scene():
    """A red disc and a blue box on grey; returns the image and the true places."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disc = (rows - 45) ** 2 + (columns - 35) ** 2 < 24**2
    box = (rows > 25) & (rows < 70) & (columns > 80) & (columns < 118)
    image = np.empty((*SHAPE, 3))
    image[:] = BACKGROUND
    image[disc], image[box] = RED, BLUE
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), disc, box


def dab(corrections, row, column, value, radius=4):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    corrections[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = value


def nothing():
    return np.full(SHAPE, -1, np.int16)


def iou(labels, value, truth):
    found = labels == value
    return (found & truth).sum() / (found | truth).sum()


@pytest.fixture
def refined():
    """``refined(relevance)``: a run from relevance at threshold 0.5, by corrections."""
    image, _, _ = scene()

    def start(relevance):
        kept = start_refinement(image, len(relevance), relevance=relevance)
        seeds = np.full(SHAPE, 255, np.uint8)
        return lambda corrections=None: drain(kept.run_steps(seeds, corrections, 0.5))

    return start


def blurred(*places):
    """Relevance on a grid of 60 x 80 as a network would give it: right, but coarse."""
    from scipy.ndimage import gaussian_filter, zoom

    maps = [gaussian_filter(zoom(p.astype(float), 60 / 96, order=1), 4) for p in places]
    return np.stack([m / max(m.max(), 1e-6) for m in maps]).astype(np.float32)


def test_blurred_relevance_becomes_the_objects(refined):
    _, disc, box = scene()
    labels = refined(blurred(disc, box))()
    assert iou(labels, 1, disc) > 0.85
    assert iou(labels, 2, box) > 0.85


def test_one_dab_turns_the_whole_object_and_nothing_else(refined):
    """The box was taken for the disc's class; one dab in its middle repairs it."""
    _, disc, box = scene()
    run = refined(blurred(disc | box, np.zeros_like(box)))
    before = run()
    assert iou(before, 1, disc | box) > 0.8
    corrections = nothing()
    dab(corrections, 47, 99, 2)
    after = run(corrections)
    assert (after[box] == 2).mean() > 0.9
    assert (after[disc] == 1).mean() > 0.9
    assert (after[~(disc | box)] == 2).mean() < 0.05


def test_a_dab_adds_an_object_that_was_missed(refined):
    _, disc, box = scene()
    run = refined(blurred(disc, np.zeros_like(box)))
    corrections = nothing()
    dab(corrections, 47, 99, 2)
    after = run(corrections)
    assert iou(after, 2, box) > 0.8
    assert iou(after, 1, disc) > 0.8


def test_erasing_is_a_correction_to_background(refined):
    _, disc, box = scene()
    run = refined(blurred(disc, box))
    corrections = nothing()
    dab(corrections, 47, 99, 0)
    after = run(corrections)
    assert (after[box] == 0).mean() > 0.85
    assert iou(after, 1, disc) > 0.8


def test_a_confirming_dab_changes_next_to_nothing(refined):
    _, disc, box = scene()
    run = refined(blurred(disc, box))
    corrections = nothing()
    dab(corrections, 45, 35, 1)
    assert (run(corrections) != run()).mean() < 0.02


def test_what_a_memory_predicts_is_not_blurred_by_the_second_kernel(monkeypatch):
    """Only the first kernel is used (docs/development/memory.md)."""
    image, disc, box = scene()
    kept = start_refinement(image, 2, relevance=blurred(disc, box))
    kernels = []
    agree = DenseCRF._agree

    def counted(self, probabilities, used, certain, rounds):
        kernels.append((len(used), certain))
        return agree(self, probabilities, used, certain, rounds)

    monkeypatch.setattr(DenseCRF, "_agree", counted)
    drain(kept.run_steps(None, None, 0.5))
    kept.recalled = torch.from_numpy(np.stack([disc, box]).astype(np.float32))
    labels = drain(kept.run_steps(None, None, 0.5))
    assert kernels == [(2, 2.0), (1, 0)]
    assert iou(labels, 1, disc) > 0.9


def test_dabs_in_any_order_give_the_same(refined):
    _, disc, box = scene()
    dabs = [(47, 99, 2), (45, 35, 1), (10, 60, 0), (85, 20, 0)]
    results = []
    for order in (dabs, dabs[::-1]):
        run, corrections = refined(blurred(disc | box, np.zeros_like(box))), nothing()
        for row, column, value in order:
            dab(corrections, row, column, value)
            labels = run(corrections)
        results.append(labels)
    np.testing.assert_array_equal(*results)


def test_a_dab_taken_back_leaves_no_trace(refined):
    _, disc, box = scene()
    run = refined(blurred(disc, box))
    before = run()
    corrections = nothing()
    dab(corrections, 47, 99, 0)
    run(corrections)
    np.testing.assert_array_equal(run(nothing()), before)
    np.testing.assert_array_equal(run(), before)


def test_a_higher_threshold_gives_more_background():
    image, disc, box = scene()
    kept = start_refinement(image, 2, relevance=blurred(disc, box))
    seeds = np.full(SHAPE, 255, np.uint8)
    areas = [(drain(kept.run_steps(seeds, None, t)) > 0).mean() for t in (0.1, 0.4, 0.7, 1.0)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


def test_network_features_are_used():
    """Two objects of one colour that only the network tells apart."""
    image = np.full((*SHAPE, 3), 120, np.uint8)
    features = np.zeros((2, 24, 32), np.float32)
    features[0, :, :16], features[1, :, 16:] = 1, 1
    seeds = np.full(SHAPE, 255, np.uint8)
    seeds[40:50, 20:30], seeds[40:50, 100:110] = 1, 2
    kept = start_refinement(image, 2, features=[features])
    labels = drain(kept.run_steps(seeds, None, None))
    assert (labels[:, :60] == 1).mean() > 0.9
    assert (labels[:, 68:] == 2).mean() > 0.9


def test_hand_made_seeds_take_no_part_of_the_relevance():
    """Without a threshold the seeds are taken as they are."""
    image, disc, box = scene()
    seeds = np.zeros(SHAPE, np.uint8)
    seeds[box] = 1
    kept = start_refinement(image, 1, relevance=blurred(disc))
    labels = drain(kept.run_steps(seeds, None, None))
    assert iou(labels, 1, box) > 0.8
    assert (labels[disc] == 1).mean() < 0.1


def test_nothing_sure_is_background():
    """Seeds without a single label say nothing: everything stays background."""
    image, _, _ = scene()
    kept = start_refinement(image, 2)
    assert not drain(kept.run_steps(np.full(SHAPE, 255, np.uint8), None, None)).any()


def test_what_is_known_of_the_image_serves_other_classes(monkeypatch):
    """Other names for the same image: no superpixels are cut again, and the result is the same."""
    image, disc, box = scene()
    seeds = np.full(SHAPE, 255, np.uint8)
    corrections = nothing()
    dab(corrections, 47, 99, 0)
    first = start_refinement(image, 1, relevance=blurred(disc))
    before = drain(first.run_steps(seeds, corrections, 0.5))
    fresh = start_refinement(image, 2, relevance=blurred(box, disc))
    expected = drain(fresh.run_steps(seeds, corrections, 0.5))
    monkeypatch.setattr(Superpixels, "of", None)
    other = start_refinement(image, 2, relevance=blurred(box, disc), like=first)
    np.testing.assert_array_equal(drain(other.run_steps(seeds, corrections, 0.5)), expected)
    np.testing.assert_array_equal(drain(first.run_steps(seeds, corrections, 0.5)), before)


def test_another_method_has_nothing_to_share():
    image, disc, _ = scene()
    first = start_refinement(image, 1, relevance=blurred(disc))
    assert start_refinement(image, 1, method="random_walker", like=first).name == "random_walker"
    walker = start_refinement(image, 1, method="random_walker")
    assert start_refinement(image, 2, method="random_walker", like=walker) is not walker


def test_who_paints_all_of_a_thing_says_nothing_of_what_is_beside_it():
    """Grey on grey: no edge would stop the disc from growing into what is left as it was."""
    image, disc, _ = scene()
    image[:] = BACKGROUND
    kept = start_refinement(image, 1, relevance=np.zeros((1, 60, 80), np.float32))
    before = drain(kept.run_steps(None, nothing(), 0.5))
    assert not before.any()
    painted = np.where(disc, np.int16(1), np.int16(-1))
    after = drain(kept.run_steps(None, painted, 0.5))
    np.testing.assert_array_equal(after, disc)
