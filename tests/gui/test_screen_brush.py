"""The brush keeps its size on the screen if asked."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_wildseg.gui.layers.screen_brush import ScreenBrush


def test_the_brush_follows_the_zoom_while_it_is_switched_on():
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((50, 50), np.uint8))
    brush = ScreenBrush(viewer)
    camera = brush._camera
    labels.brush_size, camera.zoom = 10, 2.0
    camera.zoom = 4.0
    assert labels.brush_size == 10
    brush.switch(True)
    brush.switch(True)
    camera.zoom = 8.0
    assert labels.brush_size == 5
    for zoom in (16.0, 37.0, 400.0, 3.0, 4.0):  # rounding does not add up
        camera.zoom = zoom
    assert labels.brush_size == 10
    labels.brush_size = 21  # the annotator's own choice
    camera.zoom = 2.0
    assert labels.brush_size == 42
    brush.switch(False)
    camera.zoom = 20.0
    assert labels.brush_size == 42
