"""Where the model sees a class, as an image layer beside the labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image

from napari_wildseg.gui.early_visual import make_ahead
from napari_wildseg.gui.jobs.engine_jobs import relevance_steps
from napari_wildseg.gui.layers.display import RELEVANCE, Plane
from napari_wildseg.gui.layers.label_pair import place_of
from napari_wildseg.gui.new_layer import add_in_turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession

COLOURS = "magma"


class RelevanceMaps:
    """Shows relevance maps; one that is there already is brought up to date.

    Parameters
    ----------
    controller : Controller
        Runs the jobs.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.adding = False
        """Whether a layer is on its way into the viewer."""
        self._made: WeakKeyDictionary[Image, tuple[ImageSession, Plane, str]] = WeakKeyDictionary()

    def show(self, class_id: int) -> None:
        """Show where the model sees a class in the plane in view."""
        controller = self._controller
        ready = controller.ready()
        if ready is None:
            return
        session, image, plane = ready
        request = controller.request(session, image, plane)
        name = next((c.name for c in session.classes if c.id == class_id), "")
        if name:
            controller.runner.run(
                "Relevance map",
                image,
                partial(relevance_steps, request, class_id),
                partial(self._take, session, plane, name),
                asks_model=True,
            )

    def _take(
        self,
        session: ImageSession,
        plane: Plane,
        name: str,
        relevance: NDArray[np.float32],
    ) -> None:
        viewer, image = self._controller.viewer, session.image
        if image is None or image not in viewer.layers:
            return
        pixels = plane.embed(relevance)
        there = self._there(session, plane, name)
        if there is not None and there.data.shape == pixels.shape:
            there.data, there.visible = pixels, True
            self._tell(name)
            return
        layer = Image(
            pixels,
            name=f"{image.name} relevance of {name}",
            contrast_limits=(0.0, 1.0),
            blending="additive",
            opacity=0.7,
            metadata={"wildseg": RELEVANCE},
            **place_of(image, plane, relevance.shape),
        )
        self._made[layer] = (session, plane, name)
        self.adding = True
        make_ahead(viewer, layer, partial(self._add, session, layer, name))

    def _there(self, session: ImageSession, plane: Plane, name: str) -> Image | None:
        for layer in self._controller.viewer.layers:
            made = self._made.get(layer)
            if made is not None and made[0] is session and made[1:] == (plane, name):
                return layer
        return None

    def _add(self, session: ImageSession, layer: Image, name: str) -> None:
        viewer = self._controller.viewer
        if session.image in viewer.layers and not self._controller.closed:
            # Colours have napari make tables, in the same turn if they are there from the start.
            paint = partial(setattr, layer, "colormap", COLOURS)
            add_in_turns(viewer, layer, partial(self._added, session, name), before_drawing=paint)
        else:
            self.adding = False

    def _added(self, session: ImageSession, name: str) -> None:
        self.adding = False
        self._controller.layers.activate(session, self._controller.selected_class)
        self._tell(name)

    def _tell(self, name: str) -> None:
        self._controller.status.emit(
            f"Bright where the model sees {name}. Delete the layer when you have seen it."
        )
