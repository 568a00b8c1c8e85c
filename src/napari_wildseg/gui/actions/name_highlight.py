"""Where a suggested name is in the image, while the pointer rests on the name."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils import Colormap

from napari_wildseg.gui.layers.display import RELEVANCE
from napari_wildseg.gui.layers.label_pair import place_of
from napari_wildseg.gui.layers.selecting import add_beside

if TYPE_CHECKING:
    from napari_wildseg.gui.actions.controller import Controller

SPOTLIGHT = Colormap([[0.0, 0.0, 0.0, 0.8], [0.0, 0.0, 0.0, 0.0]], name="spotlight")
"""Darkens the image where a name is not."""

_DARK, _CLEAR = 0.3, 0.9
"""Shares of the highest value up to which the image is dark, and from which it is clear."""


class NameHighlight:
    """Darkens the image except where a name is; the maps came with the suggestions."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._layer: weakref.ref[Image] | None = None
        controller.runner.busy.connect(self.hide)
        controller.classes_changed.connect(self.hide)
        controller.viewer.dims.events.current_step.connect(self.hide)

    @property
    def layer(self) -> Image | None:
        """What darkens the image, None while nothing is shown."""
        layer = None if self._layer is None else self._layer()
        return layer if layer is not None and layer in self._controller.viewer.layers else None

    def show(self, name: str) -> None:
        """Show where a name is in the plane of the suggestions; an empty name shows nothing."""
        self.hide()
        controller, session = self._controller, self._controller.session
        if not name or session is None or session.image is None or session.suggested_maps is None:
            return
        plane, maps = session.suggested_maps
        if name not in maps or plane != controller.plane:
            return
        pixels, most = maps[name], max(float(maps[name].max()), 1e-6)
        layer = Image(
            plane.embed(pixels),
            rgb=False,
            name=f"where the model sees {name}",
            colormap=SPOTLIGHT,
            contrast_limits=(_DARK * most, _CLEAR * most),
            blending="translucent",
            interpolation2d="linear",
            metadata={"wildseg": RELEVANCE},
            **place_of(session.image, plane, pixels.shape),
        )
        self._layer = weakref.ref(layer)
        add_beside(controller.viewer, layer)

    def hide(self, _event: object = None) -> None:
        """Show the whole image again."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._controller.viewer.layers.remove(layer)
