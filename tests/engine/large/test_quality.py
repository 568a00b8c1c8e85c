"""Windows find small things that a view of the whole image misses."""

from __future__ import annotations

import numpy as np

from napari_wildseg.engine.large import LargeSegmenter
from napari_wildseg.engine.segmenter import Segmenter

from .composite import NAMES, boundary_f, composite, mean_iou


def test_small_things_are_found_by_windows(starter):
    image, mask = composite(1000, 200)
    plain = Segmenter(starter, views="single")
    plain.set_image(image)
    overview = plain.segment(NAMES).labels
    large = LargeSegmenter(starter, views="single")
    large.set_image(image)
    tiled = np.asarray(large.segment(NAMES).labels)
    assert mean_iou(tiled, mask) > max(mean_iou(overview, mask) + 0.1, 0.85)
    # No comparison here: an overview that leaves things out has few borders to get wrong.
    assert boundary_f(tiled, mask) > 0.75
    found = large.suggest([*NAMES, "zebra", "pizza", "keyboard", "banana"], top=3)
    assert {name for name, _ in found} == set(NAMES)
