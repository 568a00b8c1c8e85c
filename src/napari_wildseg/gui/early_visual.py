"""What draws a new layer, made in a turn of the event loop before the layer is added.

napari makes it while the layer is added, which takes half of the time that takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_wildseg.gui.painting import TURN

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

LARGE = 2048 * 2048
"""Layers of more pixels hand them to the graphics library once more when they are added."""

_NAME = "create_vispy_layer"
"""napari has no public name for it; where it is not found, the layer gets its visual as ever."""

_KEPT = "_wildseg_visual"
"""Where it is kept: in the layer itself. It holds the layer, so that no table could be weak."""


def make_ahead(viewer: Viewer, layer: Layer, then: Callable[[], object]) -> None:
    """Make the visual of a layer in the next turn of the event loop.

    Parameters
    ----------
    viewer : Viewer
        The viewer itself, no proxy.
    layer : Layer
        A layer that is about to be added to it.
    then : callable
        Called in the turn after that. It may drop the layer, and with it the visual.
    """

    def turn() -> None:
        # What goes wrong here goes wrong again where it is seen: when the layer is added.
        with suppress(Exception):
            module, canvas = _place(viewer)
            if module is not None and layer.data.size <= LARGE:
                options = {"font_info": canvas.font_info()} if hasattr(canvas, "font_info") else {}
                vars(layer)[_KEPT] = (getattr(module, _NAME)(layer, **options), options)
        QTimer.singleShot(TURN, then)

    QTimer.singleShot(TURN, turn)


@contextmanager
def made_ahead(viewer: Viewer, layer: Layer) -> Iterator[None]:
    """Have a layer that is added meanwhile take the visual that was made for it, if one was.

    Parameters
    ----------
    viewer : Viewer
        The viewer itself, no proxy.
    layer : Layer
        The layer.
    """
    visual, options = vars(layer).pop(_KEPT, (None, {}))
    module, _ = _place(viewer)
    if module is None or visual is None:
        yield
        return
    make = getattr(module, _NAME)

    def take(wanted: Layer, *args: Any, **kwargs: Any) -> Any:
        if wanted is layer and not args and kwargs.keys() == options.keys():
            return visual
        return make(wanted, *args, **kwargs)

    setattr(module, _NAME, take)
    try:
        yield
    finally:
        setattr(module, _NAME, make)


def _place(viewer: Viewer) -> tuple[Any, Any]:
    """Return the module whose function makes visuals for a viewer, and the viewer's canvas."""
    shown = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    module = sys.modules.get(type(shown).__module__)
    return (module if hasattr(module, _NAME) else None), getattr(shown, "canvas", None)
