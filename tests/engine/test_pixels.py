"""Colours as CIE Lab; maps read on finer and coarser grids."""

from __future__ import annotations

import numpy as np
import torch

from napari_wildseg.engine.images.pixels import lab_of, resize


def test_lab_of_white_black_and_red():
    rgb = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    expected = np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]])
    for pixels in (rgb, rgb.astype(np.float32)):
        lab = lab_of(pixels)
        assert lab.shape == (3, 1, 3)
        assert lab.dtype == torch.float32
        np.testing.assert_allclose(lab[:, 0].T.numpy(), expected, atol=0.02)


def test_a_coarser_grid_averages_and_a_finer_one_keeps_the_places():
    lines = torch.zeros(1, 16, 32)
    lines[..., ::8] = 8.0  # a reading between the lines would miss them
    np.testing.assert_allclose(resize(lines, (4, 4))[..., 1:-1].numpy(), 1.0, atol=0.3)
    ramp = torch.arange(4.0).expand(1, 4, 4)
    fine = resize(ramp, (8, 8))
    assert fine.shape == (1, 8, 8)
    np.testing.assert_allclose(fine[0, 3, 1:3].numpy(), [0.25, 0.75])
