"""Seeds alone: every label learns from its seeds what it looks like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.refine import refine
from napari_wildseg.engine.refine.learning.observe import observe_superpixels
from napari_wildseg.engine.refine.seeds import spread_seeds, texture_of
from napari_wildseg.engine.refine.superpixels import Superpixels

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (96, 128)


def discs(grey=False):
    """Six discs on a ground of another colour; returns the image and where they are."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = np.zeros(SHAPE, bool)
    for row in (24, 72):
        for column in (22, 64, 106):
            places |= (rows - row) ** 2 + (columns - column) ** 2 < 13**2
    noise = np.random.default_rng(0).normal(0, 6, (*SHAPE, 3))
    image = np.where(places[..., None], (180, 90, 60), (70, 110, 130)) + noise
    image = image[..., 0] if grey else image
    return np.clip(image, 0, 255).astype(np.uint8), places


def unsure(*dabs):
    """Seeds: small squares of ``(row, column, label)``, 255 elsewhere."""
    seeds = np.full(SHAPE, 255, np.uint8)
    for row, column, label in dabs:
        seeds[row - 2 : row + 3, column - 2 : column + 3] = label
    return seeds


def iou(labels, value, truth):
    found = labels == value
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("grey", [False, True])
def test_one_seed_speaks_for_all_that_looks_like_it(grey):
    image, places = discs(grey)
    labels = refine(image, unsure((24, 22, 1), (48, 43, 0)))
    assert iou(labels, 1, places) > 0.9
    walked = refine(image, unsure((24, 22, 1), (48, 43, 0)), method="random_walker")
    assert iou(walked, 1, places) < 0.5


def test_many_seeds_of_the_background_do_not_drown_a_few():
    image, places = discs()
    seeds = unsure((24, 22, 1))
    seeds[44:52] = 0
    assert iou(refine(image, seeds), 1, places) > 0.9


def test_a_label_may_have_several_looks():
    image, places = discs()
    image[: SHAPE[0] // 2][places[: SHAPE[0] // 2]] = (60, 170, 60)
    labels = refine(image, unsure((24, 22, 1), (72, 22, 1), (48, 43, 0)))
    assert iou(labels, 1, places) > 0.9


def test_texture_tells_apart_what_colour_does_not():
    rough = np.zeros(SHAPE, bool)
    rough[20:70, 60:120] = True
    rng = np.random.default_rng(0)
    image = np.full(SHAPE, 120.0) + np.where(rough, rng.normal(0, 25, SHAPE), 0)
    image = np.clip(image, 0, 255).astype(np.uint8)
    assert iou(refine(image, unsure((45, 90, 1), (45, 20, 0))), 1, rough) > 0.8


def test_seeds_and_corrections_are_kept_and_corrections_win():
    image, _places = discs()
    seeds = unsure((24, 22, 1), (48, 43, 0), (72, 106, 2))
    corrections = np.full(SHAPE, -1)
    corrections[70:75, 104:109] = 1
    corrections[2:6, 2:6] = 2
    labels = refine(image, seeds, corrections)
    fixed = corrections >= 0
    np.testing.assert_array_equal(labels[fixed], corrections[fixed])
    first = refine(image, seeds)
    assert (first[seeds != 255] == seeds[seeds != 255]).mean() > 0.9
    assert (first == 2).any()


def test_probabilities_sum_to_one_and_know_nothing_without_seeds():
    image, _ = discs()
    lab = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) / 2
    superpixels = Superpixels.of(lab, 300)
    seeds = np.full(SHAPE, -1, np.int16)
    nothing = spread_seeds(seeds, 2, superpixels, lab)
    torch.testing.assert_close(nothing, torch.full_like(nothing, 1 / 3))
    seeds[22:27, 20:25] = 1
    found = spread_seeds(seeds, 2, superpixels, lab)
    assert found.min() > 0
    torch.testing.assert_close(found.sum(1), torch.ones(len(superpixels)))
    assert texture_of(lab, superpixels, 7).shape == (len(superpixels), 2)


def test_superpixels_count_their_labels():
    index = np.repeat(np.arange(2), 8).reshape(2, 8)
    labels = np.full((4, 16), -1, np.int16)
    labels[0, :4], labels[1, :4] = 0, 1
    shares, covered = observe_superpixels(labels, index, np.array([8, 8], np.float32), 3)
    torch.testing.assert_close(shares[0], torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(covered, torch.tensor([0.25, 0.0]))
