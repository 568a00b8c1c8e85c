"""What resembles nothing that is remembered is left to the maps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from napari_wildseg.engine.memory.mixtures import mix
from napari_wildseg.engine.memory.resemblance import Resemblance, record_points


def record(seed: int, count: int = 60):
    """A record whose superpixels lie about one place; the colours vary a little."""
    random = np.random.default_rng(seed)
    return SimpleNamespace(
        features=np.tile(np.eye(1, 4, dtype=np.float16), (count, 1)),
        colours=random.normal(0, 0.1, (count, 3)).astype(np.float16),
        weights=np.full(count, 1 / count, np.float32),
    )


def test_what_is_like_the_remembered_images_is_familiar():
    resemblance = Resemblance([record(seed) for seed in range(4)])
    own = resemblance.of(record_points(record(9)))
    assert own.mean() > 0.95
    other = record_points(record(9))
    other[:, :4] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert resemblance.of(other).max() < 0.01


def test_one_image_does_not_tell_what_is_usual():
    points = record_points(record(0)) + 5
    assert (Resemblance([record(1)]).of(points) == 1).all()
    assert (Resemblance([]).of(points) == 1).all()


def test_the_order_of_the_images_changes_nothing():
    records = [record(seed) for seed in range(3)]
    points = record_points(record(9)) * 1.5
    first, second = (Resemblance(r).of(points) for r in (records, records[::-1]))
    torch.testing.assert_close(first, second)


def test_the_unfamiliar_is_what_the_maps_say():
    prior = np.array([[0.3, 0.3], [0.7, 0.7]], np.float32)
    zero, one = np.zeros((1, 2), np.float32), np.ones(1, np.float32)
    found = mix(prior, zero, zero, one, one, np.array([0, 1], np.float32))
    np.testing.assert_allclose(found[:, 0], prior[:, 0])
    assert found[1, 1] < 0.01
