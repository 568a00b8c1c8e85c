"""napari's brush circle without the box that it must not have."""

from __future__ import annotations

from napari import Viewer


def without_box(viewer: Viewer) -> None:
    """See to it that the circle around the brush has no background box.

    napari 0.9 gives every overlay of the canvas one. That of the brush has no size, is shown once
    a layer's eye is clicked while a brush is chosen, and stays when the last layer goes: software
    OpenGL (Mesa) then ends the process. Other versions have no such box.

    Parameters
    ----------
    viewer : Viewer
        The viewer itself, no proxy.
    """
    canvas = getattr(viewer, "canvas", None)
    circle = getattr(getattr(canvas, "overlays", None), "_brush_circle", None)
    if circle is not None and getattr(circle, "box", False):
        circle.box = False
