"""A brush, a click on an eye, and no layer left: drawing the window must not end the process."""

from __future__ import annotations

import numpy as np
from vispy.scene.visuals import Rectangle


def boxes(node):
    """Rectangles that are drawn at or below a node of the scene."""
    found = [node] if isinstance(node, Rectangle) and node.visible else []
    return found + [box for child in node.children for box in boxes(child)]


def test_the_brush_circle_has_no_box(desk):
    viewer = desk().viewer
    image = viewer.add_image(np.zeros((40, 60)))
    labels = viewer.add_labels(np.zeros((40, 60), np.uint8))
    labels.mode = "paint"
    image.visible = False
    image.visible = True
    assert not boxes(viewer.window._qt_viewer.canvas.view)
    viewer.layers.remove(labels)
    viewer.layers.clear()
    viewer.screenshot(canvas_only=False, flash=False)
