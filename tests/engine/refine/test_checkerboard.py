"""Both colours of a checkerboard, against the image they come from."""

from __future__ import annotations

import pytest
import torch

from napari_wildseg.engine.refine.checkerboard import Checkerboard
from napari_wildseg.engine.refine.walk import edge_weights, random_walk

SHAPES = [(4, 6), (4, 7), (5, 6), (5, 7), (1, 6), (1, 5), (6, 1), (5, 1), (2, 2), (1, 2), (1, 1)]


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def ties(height, width):
    return random(height - 1, width, seed=1), random(height, width - 1, seed=2)


@pytest.mark.parametrize("shape", SHAPES)
def test_joining_undoes_splitting(shape):
    maps = random(3, *shape)
    board = Checkerboard(*ties(*shape))
    white, black = board.split(maps)
    assert white.shape == black.shape
    torch.testing.assert_close(board.join(white, black), maps, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_colour_hears_its_neighbours_and_nobody_else(shape):
    down, right = ties(*shape)
    maps = random(2, *shape)
    heard = torch.zeros_like(maps)
    heard[:, 1:] += down * maps[:, :-1]
    heard[:, :-1] += down * maps[:, 1:]
    heard[:, :, 1:] += right * maps[:, :, :-1]
    heard[:, :, :-1] += right * maps[:, :, 1:]
    board = Checkerboard(down, right)
    white, black = board.split(maps)
    to_white = board.add_to_white(torch.zeros_like(white), black)
    to_black = board.add_to_black(torch.zeros_like(black), white, -1)
    torch.testing.assert_close(board.join(to_white, -to_black), heard)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("one_thread")
def test_the_walk_is_solved_on_any_shape(shape):
    """Put into the system, the solution leaves nothing over."""
    down, right = edge_weights(random(3, *shape), 2.0)
    prior, trust = random(2, *shape, seed=3), 0.1 + random(*shape, seed=4)
    x = random_walk(prior, trust, (down, right), iterations=100, tolerance=1e-7)
    left = trust * (x - prior)
    left[:, 1:] += down * (x[:, 1:] - x[:, :-1])
    left[:, :-1] += down * (x[:, :-1] - x[:, 1:])
    left[:, :, 1:] += right * (x[:, :, 1:] - x[:, :, :-1])
    left[:, :, :-1] += right * (x[:, :, :-1] - x[:, :, 1:])
    torch.testing.assert_close(left, torch.zeros_like(left), rtol=0, atol=1e-5)
