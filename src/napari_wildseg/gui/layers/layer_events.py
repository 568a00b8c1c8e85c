"""Connecting and disconnecting callbacks of a layer together."""

from collections.abc import Callable, Mapping
from typing import Any

from napari.layers import Layer

PLACE_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Events of a layer that was moved, turned or scaled."""

Callbacks = Mapping[str, Callable[[Any], object]]
"""Callbacks by the name of the event."""


def listen(layer: Layer, callbacks: Callbacks, drag: Callable[..., Any] | None = None) -> None:
    """Connect callbacks; `drag` comes before napari's own: a stroke begins on whole results."""
    for name, callback in callbacks.items():
        getattr(layer.events, name).connect(callback)
    if drag is not None:
        layer.mouse_drag_callbacks.insert(0, drag)


def forget(layer: Layer, callbacks: Callbacks, drag: Callable[..., Any] | None = None) -> None:
    """Disconnect what `listen` connected."""
    for name, callback in callbacks.items():
        getattr(layer.events, name).disconnect(callback)
    if drag is not None and drag in layer.mouse_drag_callbacks:
        layer.mouse_drag_callbacks.remove(drag)
