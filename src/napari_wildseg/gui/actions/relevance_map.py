"""Where the model sees a class, as an image layer beside the labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image

from napari_wildseg.gui.jobs.engine_jobs import relevance_steps
from napari_wildseg.gui.layers.display import RELEVANCE, Plane
from napari_wildseg.gui.layers.label_pair import place_of
from napari_wildseg.gui.layers.selecting import add_beside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession

COLOURS = "magma"


class RelevanceMaps:
    """Shows relevance maps; one that is there already is brought up to date."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._made: WeakKeyDictionary[Image, tuple[ImageSession, Plane, str]] = WeakKeyDictionary()

    def show(self, class_id: int) -> None:
        """Show where the model sees a class in the plane in view."""
        controller = self._controller
        if (ready := controller.ready()) is None:
            return
        session, image, plane = ready
        request = controller.request(session, image, plane)
        name = next((c.name for c in session.classes if c.id == class_id), "")
        if name:
            controller.runner.run(
                "Relevance map",
                image,
                partial(relevance_steps, request, class_id),
                partial(self._on_relevance, session, plane, name),
            )

    def _on_relevance(
        self, session: ImageSession, plane: Plane, name: str, relevance: NDArray[np.float32]
    ) -> None:
        viewer, image = self._controller.viewer, session.image
        if image is None or image not in viewer.layers:
            return
        pixels = plane.embed(relevance)
        there = self._existing_layer(session, plane, name)
        if there is not None and there.data.shape == pixels.shape:
            there.data, there.visible = pixels, True
            self._report(name)
            return
        layer = Image(
            pixels,
            name=f"{image.name} relevance of {name}",
            contrast_limits=(0.0, 1.0),
            blending="additive",
            colormap=COLOURS,
            opacity=0.7,
            metadata={"wildseg": RELEVANCE},
            **place_of(image, plane, relevance.shape),
        )
        self._made[layer] = (session, plane, name)
        add_beside(viewer, layer)
        self._controller.layers.activate(session, self._controller.selected_class)
        self._report(name)

    def _existing_layer(self, session: ImageSession, plane: Plane, name: str) -> Image | None:
        for layer in self._controller.viewer.layers:
            made = self._made.get(layer)
            if made is not None and made[0] is session and made[1:] == (plane, name):
                return layer
        return None

    def _report(self, name: str) -> None:
        self._controller.status.emit(
            f"Bright where the model sees {name}. Delete the layer when you have seen it."
        )
