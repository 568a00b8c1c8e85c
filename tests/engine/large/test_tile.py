"""Tiles meet without a seam: they give what one tile over the whole image gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_wildseg.engine.large import tile as tile_module
from napari_wildseg.engine.large.layout import Box, tiles
from napari_wildseg.engine.large.source import LargeImage
from napari_wildseg.engine.large.tile import (
    HALO,
    local_walk,
    refine_tile,
    sample_contrast,
    walk_domain,
)
from napari_wildseg.engine.large.tile_corrections import LargeCorrections
from napari_wildseg.engine.refine.options import DefaultOptions

pytestmark = pytest.mark.usefixtures("one_thread")


def scene(shape, seed=0):
    """Blobs with noisy edges, and probabilities that only roughly know where they are."""
    random = np.random.default_rng(seed)
    field = torch.from_numpy(random.normal(size=(1, 1, 9, 9))).float()
    fine = F.interpolate(field, shape, mode="bicubic", align_corners=False)[0, 0]
    colour = np.where((fine > 0)[..., None], (190, 90, 60), (70, 130, 90))
    image = np.clip(colour + random.normal(0, 12, (*shape, 3)), 0, 255).astype(np.uint8)
    blurred = F.avg_pool2d(fine[None, None], 25, 1, 12, count_include_pad=False)[0, 0]
    sure = torch.sigmoid(2 * blurred + 0.4)
    return image, torch.stack([1 - sure, sure])


def label(image, full, side, corrections=None):
    large = LargeImage(image)
    contrast = sample_contrast(large)

    def prior(box, step):
        cells = full[:, box.top : box.bottom : step, box.left : box.right : step]
        rows, columns = (n // step for n in box.shape)
        return F.pad(
            cells[None],
            (0, columns - cells.shape[2], 0, rows - cells.shape[1]),
            mode="replicate",
        )[0]

    out = np.full(image.shape[:2], 255, np.uint8)
    for tile in tiles(large.shape, side):
        made = refine_tile(large, tile, prior, corrections, contrast, DefaultOptions())
        out[tile.slices] = made
    return out, large


def changes_along(labels, side):
    rows, columns = (range(side, n, side) for n in labels.shape)
    return sum(np.count_nonzero(labels[y - 1] != labels[y]) for y in rows) + sum(
        np.count_nonzero(labels[:, x - 1] != labels[:, x]) for x in columns
    )


@pytest.mark.parametrize("side", [200, 202])
def test_no_label_changes_along_tile_borders_that_the_untiled_result_has_not(side):
    image, prior = scene((900, 801), 3)
    whole, _ = label(image, prior, 1024)
    tiled, _ = label(image, prior, side)
    assert set(np.unique(whole)) == {0, 1}
    ours, theirs = changes_along(tiled, side), changes_along(whole, side)
    assert theirs > 10
    assert ours == theirs
    assert np.mean(tiled != whole) < 1e-5


def test_corrections_are_kept_and_reach_across_tile_borders():
    image, prior = scene((400, 420))
    array = np.full((400, 420), -1, np.int16)
    whole, _ = label(image, prior, 512)
    x = int(np.flatnonzero(whole[200] == 0)[40])
    array[190:212, x - 12 : x + 12] = 7
    array[0, 0] = 0
    fixed = LargeCorrections(array, (400, 420), [7])
    whole, _ = label(image, prior, 512, fixed)
    tiled, _ = label(image, prior, 200, fixed)
    assert (whole[array == 7] == 1).all()
    assert (tiled[array == 7] == 1).all()
    assert tiled[0, 0] == 0
    assert np.mean(tiled != whole) < 1e-5


def test_nothing_is_read_where_the_answer_is_clear():
    image, _ = scene((600, 600))
    prior = torch.stack([torch.full((600, 600), 0.8), torch.full((600, 600), 0.2)])
    large = LargeImage(image)
    out = refine_tile(
        large, Box(0, 0, 300, 300), lambda b, s: prior[:, : b.shape[0] // s, : b.shape[1] // s],
        None, 1.0, DefaultOptions(),
    )  # fmt: skip
    assert (out == 0).all()
    assert large.pixels_read == 0


def test_a_tile_depends_on_its_domain_alone():
    image, prior = scene((700, 700))
    tile = Box(200, 200, 400, 400)
    domain = walk_domain(tile, (700, 700))
    assert domain == Box(200 - HALO, 200 - HALO, 400 + HALO, 400 + HALO)
    other = np.full_like(image, 3)
    other[domain.slices] = image[domain.slices]

    def cells(box, step):
        return prior[:, box.top : box.bottom : step, box.left : box.right : step]

    one, two = (
        refine_tile(LargeImage(i), tile, cells, None, 0.01, DefaultOptions())
        for i in (image, other)
    )
    np.testing.assert_array_equal(one, two)


def test_only_labels_that_may_lead_are_walked(monkeypatch):
    image, prior = scene((300, 300))
    # A label between the two that is nowhere likely; one of them is thinner now.
    faint = torch.stack([0.8 * prior[0], torch.full_like(prior[0], 0.2), 0.8 * prior[1]])
    walked = []

    def walk(values, *rest, **more):
        walked.append(len(values))
        return local_walk(values, *rest, **more)

    monkeypatch.setattr(tile_module, "local_walk", walk)
    labels, _ = label(image, faint, 512)
    assert walked == [2]
    assert set(np.unique(labels)) == {0, 2}
    corrections = np.full((300, 300), -1, np.int16)
    corrections[100:110, 100:110] = 1
    corrected, _ = label(image, faint, 512, LargeCorrections(corrections, (300, 300), [1, 2]))
    assert walked == [2, 3]
    assert (corrected[100:110, 100:110] == 1).all()
