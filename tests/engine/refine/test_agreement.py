"""Alike and near superpixels settle on one label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.refine import start_refinement
from napari_wildseg.engine.refine.agreement import Agreement, DenseCRF, LengthScales
from napari_wildseg.engine.refine.learning.kernels import gaussian
from napari_wildseg.engine.refine.superpixels import Superpixels


def one_kernel(weight=2.5, *, alike=0.8, colour=5.0, near=0.1):
    return Agreement(weight, kernels=(LengthScales(alike, colour, near),))


@pytest.fixture
def superpixels():
    """Each of 8 x 8 pixels is one: 32 of one grey on the left, 32 of another on the right."""
    lab = torch.zeros(3, 8, 8)
    lab[0, :, 4:] = 60.0
    return Superpixels.of(lab, 64)


def test_the_kernel_is_a_gaussian_of_all_three(superpixels):
    features = torch.nn.functional.normalize(torch.randn(64, 5), dim=1)
    apart = torch.cdist(features, features).square() / 0.5**2
    apart += torch.cdist(superpixels.colours, superpixels.colours).square() / 40**2
    apart += torch.cdist(superpixels.places, superpixels.places).square() / 0.3**2
    points = superpixels.points(features, alike=0.5, colour=40, near=0.3)
    np.testing.assert_allclose(gaussian(points, points), torch.exp(-apart / 2), atol=1e-5)


def test_one_that_is_alone_in_its_opinion_gives_in_to_its_like(superpixels):
    held = torch.tensor([[0.9, 0.1]]).repeat(64, 1)
    held[superpixels.index[:, 4:].ravel()] = torch.tensor([0.1, 0.9])
    odd = [int(superpixels.index[3, 1]), int(superpixels.index[3, 6])]
    held[odd] = torch.tensor([0.5, 0.5])
    found = DenseCRF(superpixels, torch.ones(64, 1))(held)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    expected = torch.zeros(8, 8, dtype=torch.int64)
    expected[:, 4:] = 1
    np.testing.assert_array_equal(found.argmax(1).reshape(8, 8), expected)


def test_one_round_is_the_formula_as_it_is_written():
    """With more superpixels than are compared at a time, of different sizes."""
    generator = torch.Generator().manual_seed(0)
    sizes = np.arange(600, dtype=np.float32) % 7 + 1
    colours = torch.randn(600, 3, generator=generator) * 5
    superpixels = Superpixels(
        np.repeat(np.arange(600), sizes.astype(int))[None],
        sizes,
        colours,
        torch.rand(600, 2, generator=generator),
    )
    features = torch.nn.functional.normalize(torch.randn(600, 5, generator=generator), dim=1)
    held = torch.rand(600, 2, generator=generator) + 0.1
    options = Agreement(rounds=1)
    found = DenseCRF(superpixels, features, options)(held)
    alone = held / held.sum(1, keepdim=True)
    voice = (
        torch.from_numpy(superpixels.sizes) * (alone[:, 0] - alone[:, 1]).abs() ** options.certain
    )
    heard = torch.zeros(600, 2)
    for scales in options.kernels:
        points = superpixels.points(features, **vars(scales))
        kernel = gaussian(points, points).fill_diagonal_(0) * voice
        heard += kernel @ alone / kernel.sum(1, keepdim=True)
    expected = torch.softmax(options.weight * heard + alone.log(), dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_several_at_once_are_as_one_by_one(superpixels):
    held = torch.rand(3, 64, 3, generator=torch.Generator().manual_seed(1))
    held[1, :, 2] = 0
    agree = DenseCRF(superpixels, torch.ones(64, 1))
    alone = torch.cat([agree.near(each[None]) for each in held])
    torch.testing.assert_close(agree.near(held), alone, atol=1e-5, rtol=0)


def test_what_is_certain_stays(superpixels):
    held = torch.tensor([[0.9, 0.1]]).repeat(64, 1)
    held[10] = torch.tensor([0.0, 1.0])
    assert DenseCRF(superpixels, torch.ones(64, 1))(held)[10].argmax() == 1


def test_the_uncertain_follow_the_certain(superpixels):
    """Seven eighths lean to one label, the others are sure of another; on average it loses."""
    held = torch.tensor([[0.6, 0.4]]).repeat(64, 1)
    held[::8] = torch.tensor([0.05, 0.95])
    agree = DenseCRF(superpixels, torch.ones(64, 1), one_kernel(colour=1000.0, near=10.0))
    assert (agree(held).argmax(1) == 1).all()
    assert (agree.near(held[None])[0].argmax(1) == 0).sum() == 56


def test_what_a_memory_predicts_is_not_outvoted_from_farther_away(superpixels):
    """A row of its own, of the same features as the rest, as thin things are in micrographs."""
    short, long = LengthScales(0.8, 5.0, 0.01), LengthScales(0.3, 80.0, 0.5)
    agree = DenseCRF(superpixels, torch.ones(64, 1), Agreement(kernels=(short, long)))
    held = torch.tensor([[0.9, 0.1]]).repeat(64, 1)
    row = superpixels.index[3]
    held[row] = torch.tensor([0.3, 0.7])
    assert (agree.first(held, recalled=True)[row].argmax(1) == 1).all()
    assert (agree.first(held, recalled=False)[row].argmax(1) == 0).all()


def test_corrections_change_what_they_change_nearby_and_leave_the_rest(superpixels):
    """The first result stays where the agreement of the first kernel does not change."""
    before = torch.tensor([[0.55, 0.45]]).repeat(64, 1)
    right = torch.from_numpy(np.unique(superpixels.index[:, 4:]))
    after = before.clone()
    after[right] = torch.tensor([0.1, 0.9])
    agree = DenseCRF(superpixels, torch.ones(64, 1))
    agreed = torch.tensor([[0.8, 0.2]]).repeat(64, 1)
    torch.testing.assert_close(agree.change(before, before, agreed), agreed)
    found = agree.change(before, after, agreed)
    torch.testing.assert_close(found.sum(1), torch.ones(64))
    assert (found[right, 1] > 0.8).all()
    left = torch.from_numpy(np.unique(superpixels.index[:, :4]))
    torch.testing.assert_close(found[left], agreed[left], atol=0.05, rtol=0)


def test_a_changed_superpixel_counts_in_full_and_a_hardly_changed_one_not_at_all(superpixels):
    agree = DenseCRF(superpixels, torch.ones(64, 1))
    before = torch.tensor([[0.55, 0.45]]).repeat(64, 1)
    agreed = torch.tensor([[0.3, 0.7]]).repeat(64, 1)
    after = torch.tensor([[0.1, 0.9]]).repeat(64, 1)
    torch.testing.assert_close(agree.change(before, after, agreed), agree.near(after[None])[0])
    hardly = before + torch.tensor([1e-4, -1e-4])
    assert (agree.near(torch.stack([before, hardly])).diff(dim=0).abs() < 0.01).all()
    torch.testing.assert_close(agree.change(before, hardly, agreed), agreed, atol=0.2, rtol=0)


def test_a_small_class_is_heard_beside_a_large_one(superpixels):
    held = torch.tensor([[0.01, 0.89, 0.1]]).repeat(64, 1)
    few = superpixels.index[6:, :2].ravel()
    held[few] = torch.tensor([0.01, 0.29, 0.7])
    found = DenseCRF(superpixels, torch.ones(64, 1), one_kernel(colour=1000.0, near=0.3))(held)
    assert (found[few].argmax(1) == 2).all()
    assert int((found.argmax(1) == 1).sum()) > 40


def test_a_class_that_leads_nowhere_is_not_made_louder(superpixels):
    held = torch.tensor([[0.01, 0.89, 0.1]]).repeat(64, 1)
    few = superpixels.index[4:, :2].ravel()
    agree = DenseCRF(superpixels, torch.ones(64, 1), one_kernel(colour=1000.0, near=0.2))
    held[few] = torch.tensor([0.01, 0.44, 0.55])
    assert (agree(held)[few].argmax(1) == 2).sum() >= len(few) / 2
    held[few] = torch.tensor([0.01, 0.5, 0.49])
    assert (agree(held).argmax(1) == 1).all()


def test_looks_keep_superpixels_of_one_colour_apart(superpixels):
    features = torch.eye(2)[torch.arange(64) % 2]
    held = torch.eye(2)[torch.arange(64) % 2] * 0.2 + 0.4
    found = DenseCRF(superpixels, features, one_kernel(alike=0.2))(held)
    np.testing.assert_array_equal(found.argmax(1), torch.arange(64) % 2)
    assert found.amax(1).min() > 0.6


@pytest.mark.parametrize("weight", [0.0, 50.0])
def test_the_refiner_asks_for_agreement_and_keeps_corrections(weight):
    """Were all superpixels alike to each other, the majority would have the image."""
    image = np.full((60, 60, 3), 60, np.uint8)
    image[20:40, 20:40] = 180
    relevance = (image[None, ::4, ::4, 0] > 100).astype(np.float32)
    agreement = one_kernel(weight, alike=100.0, colour=1000.0, near=10.0)
    refinement = start_refinement(image, 1, relevance=relevance, agreement=agreement)
    labels = drain(refinement.run_steps(None, None, 0.5))
    assert labels[30, 30] == (weight == 0)
    assert labels[5, 5] == 0
    corrections = np.full((60, 60), -1, np.int16)
    corrections[28:32, 28:32] = 1
    labels = drain(refinement.run_steps(None, corrections, 0.5))
    assert (labels[28:32, 28:32] == 1).all()
    assert labels[5, 5] == 0
