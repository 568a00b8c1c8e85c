"""Features of low rank stand for the kernel."""

from __future__ import annotations

import torch

from napari_wildseg.engine.refine.learning.kernels import gaussian, low_rank, refine_at


def some_points(count=60):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0))


def test_of_full_rank_they_are_the_kernel():
    points = some_points()
    features = low_rank(points, 1000)
    assert features.shape == (60, 60)
    torch.testing.assert_close(features @ features.T, gaussian(points, points), atol=1e-3, rtol=0)


def test_the_kernel_is_exact_where_that_is_asked_for():
    points = some_points()
    kernel = gaussian(points, points)
    coarse = low_rank(points, 8)
    chosen = torch.tensor([3, 17, 44])
    finer = refine_at(coarse, points, chosen)
    assert finer.shape == (60, 11)
    missing = (coarse @ coarse.T - kernel).abs()[chosen]
    assert missing.max() > 0.3
    assert (finer @ finer.T - kernel).abs()[chosen].max() < 1e-3


def test_equal_points_have_equal_features():
    features = refine_at(low_rank(torch.ones(30, 3), 10), torch.ones(30, 3), torch.arange(4))
    torch.testing.assert_close(features @ features.T, torch.ones(30, 30), atol=1e-3, rtol=0)
