"""What is confirmed is what napari's own brush covers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_wildseg.gui.annotation.brush_strokes import brushed

from .annotator import stroke

ALONG = [(2, 30, 20), (2, 31, 20), (2, 31.4, 20.3), (2, 12, 44), (2, -6, 70)]


@pytest.mark.parametrize(
    ("shape", "scale", "order", "edited", "size"),
    [
        ((60, 50), (4, 1), (0, 1), 2, 21),
        ((60, 50), (0.2, 0.7), (0, 1), 2, 8),
        ((60, 50), (-1, 3), (1, 0), 2, 1),
        ((5, 60, 50), (8, 1, 2), (0, 1, 2), 2, 12),
        ((5, 60, 50), (8, 1, 2), (1, 0, 2), 2, 12),
        ((5, 60, 50), (8, 1, 2), (2, 1, 0), 2, 30),
        ((5, 60, 50), (3, 1, 2), (0, 1, 2), 3, 11),
        ((2, 5, 60, 50), (1, 3, 1, 2), (0, 2, 1, 3), 3, 11),
    ],
)
def test_the_covered_pixels_are_those_that_napari_paints(shape, scale, order, edited, size):
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros(shape, np.uint8), scale=scale)
    viewer.dims.order = order
    layer.mode, layer.brush_size, layer.selected_label = "paint", size, 1
    layer.n_edit_dimensions = edited
    # A mouse moves along the displayed axes alone.
    path = [
        [p if axis in order[-2:] else 1 for axis, p in enumerate([1, *spot][-len(shape) :])]
        for spot in ALONG
    ]
    stroke(viewer, layer, path)
    axes = order[-edited:]
    box, covered = brushed(shape, path, size, scale, axes)
    ours = np.zeros(shape, bool)
    ours[box] = covered
    assert ours.any()
    np.testing.assert_array_equal(ours, layer.data == 1)


def test_a_brush_beside_the_layer_covers_nothing():
    box, covered = brushed((5, 5), [(-40, 2), (-30, 2)], 5, (1, 1), (0, 1))
    assert not covered.any()
    assert not np.zeros((5, 5))[box].size
