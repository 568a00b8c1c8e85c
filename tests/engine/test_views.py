"""Views cover the image, show what they say, and merge back to where they came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.views import (
    _MAX_WINDOWS,
    PRESETS,
    View,
    make_views,
    merge_views,
    render,
)

SHAPES = [(96, 96), (60, 100), (250, 90), (41, 67), (50, 240)]
CELL = 8
"""Stride of the pretended network."""


def ramp_image(shape):
    """Red is the column, green the row: exact in bytes, linear in image coordinates."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


def as_seen(image, view, cell=CELL):
    """What a network that averages each cell would say of a view."""
    return F.avg_pool2d(render(image, view)[None] * 255, cell)[0]


def ideal(view, cell=CELL):
    """What `as_seen` comes to for the ramp, by formula: each cell's centre in image coordinates."""
    y = view.top + (torch.arange(view.height // cell) + 0.5) * cell * _pixel(view)[0] - 0.5
    x = view.left + (torch.arange(view.width // cell) + 0.5) * cell * _pixel(view)[1] - 0.5
    return torch.stack(torch.meshgrid(y, x.flip(0) if view.flip else x, indexing="ij")[::-1])


def _pixel(view):
    """Size of an input pixel in image pixels."""
    return (view.bottom - view.top) / view.height, (view.right - view.left) / view.width


def grid_centres(shape, grid):
    """Image coordinates of the cells' centres: rows, columns; pixel centres are whole."""
    return (
        (np.arange(grid[0]) + 0.5) * shape[0] / grid[0] - 0.5,
        (np.arange(grid[1]) + 0.5) * shape[1] / grid[1] - 0.5,
    )


def inner(centres, side, margin):
    return (centres >= margin - 0.5) & (centres <= side - margin - 0.5)


def geometry(shape, preset):
    """The views of a preset, their light left alone."""
    views = make_views(shape, preset, base_side=128, multiple=CELL)
    return [replace(view, gamma=1.0) for view in views]


def assert_ramp(merged, shape, grid, margin, tolerance=1e-3):
    """Equal to the ramp, in image pixels, away from borders."""
    rows, columns = grid_centres(shape, grid)
    inside = np.ix_(inner(rows, shape[0], margin), inner(columns, shape[1], margin))
    assert inside[0].size >= 4
    assert inside[1].size >= 4
    expected = np.stack(np.broadcast_arrays(columns[None], rows[:, None]))
    error = np.abs(merged[:2].numpy() - expected)[:, inside[0], inside[1]]
    assert error.max() < tolerance


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_geometry_is_undone_exactly(preset, shape):
    """A ramp seen through all views of a preset merges back to the same ramp."""
    views, image, grid = geometry(shape, preset), ramp_image(shape), (31, 29)
    margin = max(2 * CELL * max(_pixel(v)) for v in views)
    merged = merge_views((ideal(view) for view in views), views, shape, grid)
    # A cell beyond the last centre of a crop reads that centre; its weight there is nearly 0.
    whole = all(v.bottom - v.top == shape[0] and v.right - v.left == shape[1] for v in views)
    assert_ramp(merged, shape, grid, margin, tolerance=1e-3 if whole else 0.05)
    # Through the pixels: antialiased shrinking is exact to a few hundredths of a pixel.
    merged = merge_views((as_seen(image, view) for view in views), views, shape, grid)
    assert_ramp(merged, shape, grid, margin, tolerance=0.05)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_view_is_undone_exactly_on_its_own(shape):
    """An error in one view would be hidden by the average of many."""
    image, grid = ramp_image(shape), (40, 37)
    rows, columns = grid_centres(shape, grid)
    expected = np.stack(np.broadcast_arrays(columns[None], rows[:, None]))
    for view in geometry(shape, "best"):
        margin = 2 * CELL * max(_pixel(view))
        inside = np.ix_(
            inner(rows - view.top, view.bottom - view.top, margin),
            inner(columns - view.left, view.right - view.left, margin),
        )
        for seen, tolerance in ((ideal(view), 1e-3), (as_seen(image, view), 0.05)):
            merged = merge_views([seen], [view], shape, grid)[:2].numpy()
            error = np.abs(merged - expected)[:, inside[0], inside[1]]
            assert error.size
            assert error.max() < tolerance, view


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.4, -0.25), (-0.5, 0.5)])
def test_shifted_cells_are_read_where_they_are(offset, flip):
    """A network whose cell centres lie off the tiling's, in its own frame, flipped or not."""
    shape, grid = (80, 120), (20, 30)
    view = View(0, 0, 80, 120, 160, 240, flip)
    y = (torch.arange(20) + 0.5 + offset[0]) * 4
    x = (torch.arange(30) + 0.5 + offset[1]) * 4
    x = 120 - x if flip else x
    seen = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1]) - 0.5
    assert_ramp(merge_views([seen], [view], shape, grid, offset=offset), shape, grid, margin=8)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "shape", [*SHAPES, (2, 2), (2, 300), (300, 2), (3, 5), (480, 640)], ids=str
)
def test_constant_maps_merge_to_the_constant_everywhere(shape, preset):
    """Weights sum to one in every cell: no seam, no hole, no dark border."""
    views = make_views(shape, preset)
    maps = [torch.ones(1, v.height // 16, v.width // 16) for v in views]
    merged = merge_views(maps, views, shape, (48, 64))
    torch.testing.assert_close(merged, torch.ones(1, 48, 64), rtol=0, atol=1e-5)


def test_crops_that_disagree_meet_without_a_seam():
    """Between neighbouring crops the merged value changes by small steps only."""
    shape, grid = (200, 300), (100, 150)
    crops = [
        v
        for v in make_views(shape, "best", base_side=128)
        if not v.flip and (v.bottom - v.top) < shape[0]
    ]
    assert len(crops) == 4
    maps = [torch.full((1, 8, 8), float(i)) for i in range(4)]
    merged = merge_views(maps, crops, shape, grid)[0]
    assert merged[0, 0] == pytest.approx(0)
    assert merged[-1, -1] == pytest.approx(3)
    steps = max(merged.diff(dim=0).abs().max(), merged.diff(dim=1).abs().max())
    assert steps < 0.25  # the crops overlap by some 20 cells; a seam would be 1 or more


def test_nothing_fades_at_the_image_border():
    """The outermost cells weigh a whole view and the crop in that corner alike."""
    shape = (96, 96)
    whole, corner = View(0, 0, 96, 96, 96, 96), View(0, 0, 60, 60, 96, 96)
    maps = [torch.zeros(1, 12, 12), torch.ones(1, 12, 12)]
    merged = merge_views(maps, [whole, corner], shape, (96, 96))[0]
    assert merged[0, 0] == pytest.approx(0.5)
    assert merged[0, 30] == pytest.approx(0.5)
    assert 0 < merged[0, 58] < 0.1  # the crop's inner border fades
    assert not merged[:, 60:].any()
    assert (merged[0, 45:60].diff() < 0).all()


def test_a_view_alone_is_interpolated_between_cell_centres():
    view = View(0, 0, 4, 4, 32, 32)
    values = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
    merged = merge_views([values], [view], (4, 4), (4, 4))[0]
    expected = torch.tensor([0.0, 0.25, 0.75, 1.0])
    torch.testing.assert_close(merged[0], expected)
    torch.testing.assert_close(merged[:, 0], 2 * expected)


def test_merging_maps_of_no_view_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        merge_views([], [], (4, 4), (2, 2))
    with pytest.raises(ValueError, match="zip"):
        merge_views([torch.zeros(1, 2, 2)], [], (4, 4), (2, 2))


# -- which views


def test_single_is_the_plain_image_alone():
    (view,) = make_views((480, 640), "single", base_side=448, multiple=16)
    assert view == View(0, 0, 480, 640, 384, 512)


def test_fast_adds_the_mirror_image():
    plain, mirrored = make_views((480, 640), "fast")
    assert mirrored == replace(plain, flip=True)


def test_default_has_three_scales_mirrored():
    views = make_views((480, 640), "default", base_side=448)
    assert len(views) == 6
    sides = sorted({(v.height * v.width) ** 0.5 / 448 for v in views})
    np.testing.assert_allclose(sides, [0.625, 1.0, 1.375], rtol=0.05)


def test_best_has_crops_and_light():
    views = make_views((480, 640), "best")
    assert {v.gamma for v in views} == {0.7, 1.0, 1.4}
    crops = [v for v in views if v.bottom - v.top < 480]
    assert len(crops) == 8
    assert {(v.height, v.width) for v in crops} == {(views[0].height, views[0].width)}
    assert {v.top for v in crops} == {0, 192}
    assert {v.bottom for v in crops} == {288, 480}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [*SHAPES, (2, 2), (2, 3000), (1000, 3), (3, 5)], ids=str)
def test_views_are_valid(shape, preset):
    """Whole pixels inside the image, inputs of the right sides, the plain view first."""
    views = make_views(shape, preset, base_side=448, multiple=32)
    for v in views:
        assert 0 <= v.top < v.bottom <= shape[0]
        assert 0 <= v.left < v.right <= shape[1]
        assert all(float(edge).is_integer() for edge in (v.top, v.left, v.bottom, v.right))
        assert v.height % 32 == v.width % 32 == 0
        assert min(v.height, v.width) >= 64
    assert not views[0].flip
    assert views[0].gamma == 1
    assert len(views) == len(set(views))
    covered = np.zeros(shape, bool)
    for v in views:
        covered[int(v.top) : int(v.bottom), int(v.left) : int(v.right)] = True
    assert covered.all()


@pytest.mark.parametrize("shape", [(100, 201), (100, 250), (700, 100), (100, 1000)], ids=str)
def test_long_images_are_seen_through_half_overlapping_windows(shape):
    views = make_views(shape, "single")
    long = 0 if shape[0] > shape[1] else 1
    edges = [((v.top, v.bottom), (v.left, v.right))[long] for v in views]
    assert edges[0][0] == 0
    assert edges[-1][1] == max(shape)
    for v, (start, end) in zip(views, edges, strict=True):
        assert end - start == 200
        ratio = max(v.height, v.width) / min(v.height, v.width)
        assert ratio == pytest.approx(2, rel=0.1)
    for (_, end), (start, _) in zip(edges, edges[1:], strict=False):
        assert end - start >= 99


@pytest.mark.parametrize("shape", [(2, 1000), (20, 5000), (5000, 3)], ids=str)
def test_very_long_images_get_longer_windows_not_more(shape):
    assert len(make_views(shape, "single")) <= _MAX_WINDOWS


def test_an_unknown_preset_is_refused():
    with pytest.raises(InputError, match=r'no view preset "fastest"; choose one of single, fast'):
        make_views((10, 10), "fastest")


# -- what a view shows

PHOTO = np.random.default_rng(1).integers(0, 256, (24, 36, 3), dtype=np.uint8)


def test_the_identity_view_is_the_image():
    shown = render(PHOTO, View(0, 0, 24, 36, 24, 36))
    np.testing.assert_allclose(shown.permute(1, 2, 0).numpy() * 255, PHOTO, atol=1e-4)


def test_a_crop_shows_its_box_mirrored_where_asked():
    crop = torch.from_numpy(PHOTO[4:16, 6:30]).permute(2, 0, 1).float() / 255
    view = View(4, 6, 16, 30, 12, 24)
    torch.testing.assert_close(render(PHOTO, view), crop)
    torch.testing.assert_close(render(PHOTO, replace(view, flip=True)), crop.flip(-1))


def test_gamma_lightens_and_darkens():
    view = View(0, 0, 24, 36, 24, 36)
    torch.testing.assert_close(
        render(PHOTO, replace(view, gamma=0.7)),
        (torch.from_numpy(PHOTO) / 255).pow(0.7).movedim(2, 0),
    )


def test_shrinking_averages_instead_of_skipping():
    """A checkerboard of single pixels is grey from far away."""
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    shown = render(
        np.repeat(board[..., None], 3, axis=2).astype(np.uint8), View(0, 0, 64, 64, 16, 16)
    )
    np.testing.assert_allclose(shown.numpy(), 0.5, atol=0.05)


def test_enlarging_stays_within_the_range():
    shown = render(PHOTO, View(0, 0, 24, 36, 96, 144))
    assert shown.shape == (3, 96, 144)
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert shown.dtype == torch.float32
