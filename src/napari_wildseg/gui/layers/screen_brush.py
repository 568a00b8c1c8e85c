"""A brush that keeps its size on the screen: zooming in paints finer."""

import weakref

from napari import Viewer
from napari.layers import Labels


class ScreenBrush:
    """Changes the brush sizes of a viewer's label layers with its zoom, while switched on."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        scene = getattr(viewer, "scene", None)  # napari 0.9 and later
        self._camera = viewer.camera if scene is None else scene.camera
        self._zoom = 0.0
        # The size that was set last, and the exact size in canvas pixels behind it.
        self._sizes: weakref.WeakKeyDictionary[Labels, tuple[float, float]] = (
            weakref.WeakKeyDictionary()
        )

    def switch(self, on: bool) -> None:
        """Start or stop following the zoom."""
        zoomed = self._camera.events.zoom
        zoomed.disconnect(self._follow)
        self._sizes.clear()
        if on:
            self._zoom = float(self._camera.zoom)
            zoomed.connect(self._follow)

    def _follow(self) -> None:
        before, self._zoom = self._zoom, float(self._camera.zoom)
        for layer in self._viewer.layers:
            if not isinstance(layer, Labels) or min(before, self._zoom) <= 0:
                continue
            size, on_screen = self._sizes.get(layer, (-1.0, 0.0))
            if layer.brush_size != size:  # the annotator has changed it
                on_screen = layer.brush_size * before
            layer.brush_size = max(1, round(on_screen / self._zoom))
            self._sizes[layer] = float(layer.brush_size), on_screen
