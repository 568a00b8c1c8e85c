"""Adding a layer over several turns of the event loop, with the window answering in between.

What napari does about a new layer takes a tenth of a second: it makes the layer's visual, the
visuals of its overlays and its controls, selects it, shows other controls, and draws the window.
None of these parts can be divided from outside, but they need not follow each other at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_wildseg.gui.early_visual import made_ahead
from napari_wildseg.gui.late_controls import controls_later
from napari_wildseg.gui.layers.selecting import no_status
from napari_wildseg.gui.painting import TURN, draw_canvases, hold_painting

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


def add_in_turns(
    viewer: Viewer,
    layer: Layer,
    then: Callable[[], object],
    *,
    before_drawing: Callable[[], object] | None = None,
) -> None:
    """Add a layer; the selection stays as it is, unless nothing or several layers are selected.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Layer
        The layer. It is in the viewer when this returns.
    then : callable
        Called some turns of the event loop later, when the layer is complete and drawn; also if
        it was removed meanwhile.
    before_drawing : callable, optional
        Called in a turn of its own, before the layer is drawn for the first time.
    """
    turns = _turns(viewer, layer, before_drawing)

    def turn() -> None:
        for _ in turns:
            QTimer.singleShot(TURN, turn)
            return
        then()

    turn()


def _turns(
    viewer: Viewer, layer: Layer, before_drawing: Callable[[], object] | None
) -> Iterator[None]:
    go_on = hold_painting()
    try:
        overlays = _cover(layer)
        with (
            _same_selection(viewer),
            made_ahead(viewer, layer),
            controls_later(viewer, layer) as make_controls,
        ):
            viewer.add_layer(layer)
        yield
        make_controls()
        for overlay in overlays:
            yield
            if layer in viewer.layers:  # else a viewer that let it go would look at it again
                overlay.visible = True
        yield
        if before_drawing is not None:
            before_drawing()
            yield
        if layer.visible:
            draw_canvases()
            yield
    finally:
        go_on()
    yield  # it is drawn


@contextmanager
def _same_selection(viewer: Viewer) -> Iterator[None]:
    """Keep a new layer from being selected, which has its controls shown and drawn."""
    selection = viewer.layers.selection
    active = selection.active
    if active is None:
        with no_status(viewer):
            yield
        return
    with selection.events.blocker_all():
        try:
            yield
        finally:
            selection.active = active


def _cover(layer: Layer) -> list[Any]:
    """Hide the overlays of a layer, so that napari makes their visuals later, one at a time.

    napari has no public name for them; where they are not found, they are made at once.
    """
    overlays = [o for o in getattr(layer, "_overlays", {}).values() if getattr(o, "visible", False)]
    for overlay in overlays:
        overlay.visible = False
    return overlays
