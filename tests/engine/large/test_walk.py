"""The walk on tiles solves the system of the ordinary walk, and no farther than its reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_wildseg.engine.large.tile import REACH, local_walk, undecided
from napari_wildseg.engine.refine.walk import edge_weights, random_walk

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (2 * REACH + 17, 2 * REACH + 30)


def system(seed=0, shape=SHAPE):
    random = torch.Generator().manual_seed(seed)
    prior = torch.softmax(torch.randn(3, *shape, generator=random), 0)
    trust = torch.rand(shape, generator=random) * 0.3 + 0.05
    return prior, trust, edge_weights(torch.rand(3, *shape, generator=random), 3.0)


def test_it_solves_the_system():
    prior, trust, edges = system()
    fixed = torch.zeros(SHAPE, dtype=torch.bool)
    fixed[20:30, 40:44] = True
    exact = random_walk(prior, trust, edges, fixed=fixed, iterations=500, tolerance=1e-7)
    walked = local_walk(prior, trust, edges, fixed=fixed)
    torch.testing.assert_close(walked, exact, atol=4e-3, rtol=0)
    torch.testing.assert_close(walked[:, fixed], prior[:, fixed], atol=0, rtol=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_comes_near_where_the_prior_is_trusted_as_little_as_in_a_refinement(seed):
    """Smooth parts of the answer come last; no others may suffer for them (`_LOWEST`)."""
    random = torch.Generator().manual_seed(seed)
    prior = torch.softmax(torch.randn(3, *SHAPE, generator=random), 0)
    trust = torch.rand(SHAPE, generator=random) * 0.004 + 0.0002
    halves = (torch.arange(SHAPE[1]) >= SHAPE[1] // 2) * 0.5
    edges = edge_weights(torch.rand(3, *SHAPE, generator=random) * 0.1 + halves, 3.0)
    exact = random_walk(prior, trust, edges, iterations=3000, tolerance=1e-7)
    away = (local_walk(prior, trust, edges) - exact).abs()
    assert away.mean() < 0.006, "the prior is 0.18 away"
    assert away.max() < 0.04


@pytest.mark.parametrize("place", [(REACH + 3, REACH + 9), (REACH + 3, REACH + 10)])
def test_no_cell_depends_on_another_beyond_the_reach(place):
    prior, trust, edges = system()
    trust = trust * 0.01  # what is said is carried far
    other = prior.clone()
    other[:, place[0], place[1]] = torch.tensor([0.9, 0.1, 0.0])
    changed = (local_walk(prior, trust, edges) != local_walk(other, trust, edges)).any(0)
    rows, columns = np.nonzero(changed.numpy())
    away = np.abs(rows - place[0]) + np.abs(columns - place[1])
    assert 0 < away.max() <= REACH


def test_cells_far_from_borders_and_corrections_are_decided():
    leading = torch.zeros(300, 320, dtype=torch.int64)
    leading[:100, :90] = 2
    corrected = torch.zeros(300, 320, dtype=torch.bool)
    corrected[270, 300] = True
    near = (leading == 2).numpy()
    near = ndimage.binary_dilation(near) & ndimage.binary_dilation(~near, np.ones((3, 3)))
    near = ndimage.binary_dilation(near | corrected.numpy(), np.ones((2 * REACH + 1,) * 2))
    is_open = undecided(leading, corrected).numpy()
    assert is_open[0, 0] == near[0, 0]
    np.testing.assert_array_equal(is_open[270 - REACH - 1 :], near[270 - REACH - 1 :])
    assert is_open[100 + REACH, 20]
    assert not is_open[100 + REACH + 1, 20]
    assert not undecided(torch.ones(5, 5)).any()
