"""Windows and tiles: they cover every pixel, overlap as they should, and stay few."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_wildseg.engine.large.layout import (
    MAX_WINDOWS,
    OVERLAP,
    Box,
    tiles,
    window_steps,
    windows,
)

SHAPES = [(4000, 4000), (1000, 9000), (384, 384), (50, 2000), (401, 399), (20_000, 20_000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_windows_cover_the_image_and_overlap(shape):
    side = 384
    found = windows(shape, side)
    for axis in (0, 1):
        edges = sorted({(b.top, b.bottom) if axis == 0 else (b.left, b.right) for b in found})
        assert edges[0][0] == 0
        assert edges[-1][1] == shape[axis]
        length = min(side, shape[axis])
        assert {end - start for start, end in edges} == {length}
        for (_, end), (start, _) in pairwise(edges):
            assert end - start >= OVERLAP * length - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_finest_windows_are_as_fine_as_their_number_allows(shape):
    steps = window_steps(shape, 384)
    assert len(windows(shape, 384 * steps[-1])) <= MAX_WINDOWS
    assert steps[-1] == 1 or len(windows(shape, 384 * steps[-1] // 2)) > MAX_WINDOWS
    assert all(a == 2 * b for a, b in pairwise(steps))
    assert window_steps(shape, 384, 2)[-1] == 2


@pytest.mark.parametrize("shape", [(100, 100), (7, 33), (64, 129)])
def test_tiles_hold_every_pixel_once(shape):
    count = np.zeros(shape, int)
    for box in tiles(shape, 32):
        count[box.slices] += 1
    assert (count == 1).all()


def test_boxes():
    box = Box(10, 20, 30, 50)
    assert box.shape == (20, 30)
    assert box.grown(15, (40, 200)) == Box(0, 5, 40, 65)
    assert box.overlaps(Box(29, 49, 60, 60))
    assert not box.overlaps(Box(30, 20, 60, 60))
    outer = np.arange(60 * 60).reshape(60, 60)
    whole = Box(5, 5, 60, 60)
    np.testing.assert_array_equal(outer[whole.slices][box.within(whole)], outer[box.slices])
    assert box.reduced(4) == Box(2, 5, 8, 13)
