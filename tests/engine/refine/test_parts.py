"""The refiners' parts against plain formulas: random walk, upsampling, Gaussian process, spread."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from napari_wildseg.engine.models.packed import PackedMatrix
from napari_wildseg.engine.refine.affinity import affinity_logits, node_features, spread
from napari_wildseg.engine.refine.learning.observe import observe
from napari_wildseg.engine.refine.upsample import to_full_resolution
from napari_wildseg.engine.refine.walk import edge_weights, margin_of, random_walk

pytestmark = pytest.mark.usefixtures("one_thread")


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# -- random walk


def direct_solution(prior, trust, edges, fixed):
    """The same minimum by a sparse matrix and a direct solver, in float64."""
    height, width = trust.shape
    index = np.arange(height * width).reshape(height, width)
    matrix = sparse.lil_matrix((index.size, index.size))
    for weights, a, b in (
        (edges[0], index[:-1], index[1:]),
        (edges[1], index[:, :-1], index[:, 1:]),
    ):
        for i, j, w in zip(a.ravel(), b.ravel(), weights.double().numpy().ravel(), strict=True):
            matrix[i, i] += w
            matrix[j, j] += w
            matrix[i, j] -= w
            matrix[j, i] -= w
    flat_trust = trust.double().numpy().ravel()
    system = (matrix + sparse.diags(flat_trust)).tocsr()
    free = ~fixed.numpy().ravel()
    out = prior.double().flatten(1).numpy().copy()
    for row in out:
        right = (flat_trust * row)[free] - system[free][:, ~free] @ row[~free]
        row[free] = spsolve(system[free][:, free].tocsc(), right)
    return out.reshape(prior.shape)


@pytest.mark.parametrize("seeds", [0, 5])
def test_random_walk_solves_the_system(seeds):
    guide = random(3, 9, 11)
    edges = edge_weights(guide, beta=2.0)
    prior, trust = random(3, 9, 11, seed=1), 0.02 + random(9, 11, seed=2)
    fixed = torch.zeros(9, 11, dtype=torch.bool)
    fixed.view(-1)[:: 99 // seeds if seeds else 1000][: seeds or None] = bool(seeds)
    walked = random_walk(prior, trust, edges, fixed=fixed, iterations=500, tolerance=1e-7)
    np.testing.assert_allclose(walked, direct_solution(prior, trust, edges, fixed), atol=1e-5)
    torch.testing.assert_close(walked[:, fixed], prior[:, fixed], rtol=0, atol=0)


def test_random_walk_starts_where_told_and_ends_at_the_same():
    edges = edge_weights(random(3, 9, 11), beta=2.0)
    prior, trust = random(2, 9, 11, seed=1), 0.1 + random(9, 11, seed=2)
    options = {"iterations": 500, "tolerance": 1e-7}
    one = random_walk(prior, trust, edges, **options)
    two = random_walk(prior, trust, edges, start=random(2, 9, 11, seed=5), **options)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_probabilities_stay_probabilities():
    prior = random(4, 9, 11, seed=1)
    prior = prior / prior.sum(0)
    walked = random_walk(
        prior,
        0.01 + random(9, 11),
        edge_weights(random(3, 9, 11), 3.0),
        iterations=500,
        tolerance=1e-7,
    )
    torch.testing.assert_close(walked.sum(0), torch.ones(9, 11), rtol=0, atol=1e-4)
    assert walked.min() > -1e-4


def test_edges_weigh_less_where_colours_differ():
    guide = torch.zeros(3, 4, 6)
    guide[:, :, 3:] = 1
    down, right = edge_weights(guide, beta=2.0)
    assert down.shape == (3, 6)
    assert right.shape == (4, 5)
    assert (down == 1).all()
    assert (right[:, [0, 1, 3, 4]] == 1).all()
    assert (right[:, 2] < 0.01).all()
    assert right.min() > 0
    constant, _ = edge_weights(torch.ones(3, 4, 6), beta=2.0)
    assert (constant == 1).all()


def test_the_margin_is_between_the_two_most_likely():
    for labels in (2, 3, 6):
        chances = random(labels, 7, 9)
        top = chances.topk(2, dim=0).values
        torch.testing.assert_close(margin_of(chances), top[0] - top[1], rtol=0, atol=0)


# -- upsampling


def test_upsampling_finds_the_edge_of_the_image():
    """A boundary two cells off the mark at an eighth of the resolution is carried to the pixel."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 29:] = 200  # within a cell of 8 pixels
    chances = torch.zeros(2, 8, 8)
    chances[0, :, :4], chances[1, :, 4:] = 1, 1
    labels = to_full_resolution(chances, image)
    assert labels.shape == (64, 64)
    assert labels.dtype == np.uint8
    assert (labels[:, :24] == 0).all()
    assert (labels[:, 36:] == 1).all()
    assert ((labels == 1) == (image[..., 0] > 100)).mean() > 0.97
    plain = np.kron(chances.argmax(0).numpy(), np.ones((8, 8)))
    assert ((plain == 1) == (image[..., 0] > 100)).mean() < 0.97


def test_upsampling_to_the_same_size_is_the_best_class():
    chances = random(3, 6, 7)
    labels = to_full_resolution(chances, np.zeros((6, 7, 3), np.uint8))
    np.testing.assert_array_equal(labels, chances.argmax(0))


def test_upsampling_agrees_where_all_neighbours_agree():
    chances = torch.zeros(3, 5, 4)
    chances[2] = 1
    image = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
    assert (to_full_resolution(chances, image) == 2).all()


# -- corrections as observations


def test_observations_count_pixels_cell_by_cell():
    corrections = np.full((8, 12), -1, np.int16)
    corrections[0, 0:3] = 1  # cell 0, 0
    corrections[1, 0] = 0
    corrections[7, 11] = 2  # the last cell
    seen = observe(corrections, (2, 3), 2)
    assert seen.mask.tolist() == [[True, False, False], [False, False, True]]
    assert int(seen.mask.sum()) == 2
    assert seen.targets[:, 0, 0].tolist() == [0.25, 0.75, 0]
    assert seen.targets[:, 1, 2].tolist() == [0, 0, 1]
    assert not seen.targets[:, 0, 1].any()


# -- affinity


def test_node_features_are_unit_rows_however_many_maps():
    nodes = node_features([random(5, 6, 7), random(3, 12, 9, seed=1)], (6, 7))
    assert nodes.shape == (42, 8)
    torch.testing.assert_close(nodes.norm(dim=1), torch.ones(42))


def test_constant_features_tie_nothing_and_break_nothing():
    nodes = node_features([torch.ones(4, 5, 5)], (5, 5))
    assert torch.isfinite(nodes).all()
    affinity = affinity_logits(nodes, 0.1, torch.zeros(25, 3)).softmax(1)
    torch.testing.assert_close(affinity, torch.full((25, 25), 1 / 25))


def test_affinity_is_row_stochastic_and_joins_what_looks_alike():
    look = torch.zeros(2, 4, 4)
    look[0, :2], look[1, 2:] = 1, 1
    colours = torch.zeros(16, 3)
    colours[8:] = 3
    affinity = affinity_logits(node_features([look], (4, 4)), 0.5, colours).softmax(1)
    torch.testing.assert_close(affinity.sum(1), torch.ones(16))
    assert affinity[0, 1:8].min() > 10 * affinity[0, 8:].max()
    seed = torch.zeros(1, 4, 4)
    seed[0, 0, 0] = 1
    hand_on = PackedMatrix(affinity, rows=1)
    values = spread(hand_on, seed, 5)[0]
    assert values[:2].min() > 2 * values[2:].max()
    torch.testing.assert_close(spread(hand_on, torch.ones(2, 4, 4), 50), torch.ones(2, 4, 4))
