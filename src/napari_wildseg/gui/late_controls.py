"""The controls of a new layer in a turn of the event loop of their own.

napari makes them while the layer is added, which takes as long again as all else about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


class Controls(dict[Any, Any]):
    """napari's table of controls by layer, in which those of some layers are made on demand.

    Nobody finds a layer without controls: should it be selected or removed before its turn has
    come, they are made then.

    Parameters
    ----------
    made : dict
        The controls that are there.
    make : callable
        Makes those of the layer that is the ``value`` of what it is given, and puts them here.
    """

    def __init__(self, made: dict[Any, Any], make: Callable[[Any], object]) -> None:
        super().__init__(made)
        self._make = make
        self.waiting: set[Any] = set()

    def __missing__(self, layer: Any) -> Any:
        """Make the controls of a layer that waits for them."""
        if layer not in self.waiting:
            raise KeyError(layer)
        self.waiting.remove(layer)
        self._make(SimpleNamespace(value=layer))
        return self[layer]


@contextmanager
def controls_later(viewer: Viewer, layer: Layer) -> Iterator[Callable[[], None]]:
    """Have a layer that is added meanwhile get its controls when what is given is called.

    Where napari keeps controls in another place, they come with the layer as ever.

    Parameters
    ----------
    viewer : Viewer
        The viewer itself, no proxy.
    layer : Layer
        The layer.
    """
    window = getattr(viewer, "window", None)
    container = getattr(getattr(window, "_qt_viewer", None), "controls", None)
    make = getattr(container, "_add", None)
    if container is None or make is None or type(container.widgets) not in (dict, Controls):
        yield lambda: None
        return
    if type(container.widgets) is dict:
        container.widgets = Controls(container.widgets, make)
    controls: Controls = container.widgets

    def now() -> None:
        if layer in controls.waiting:
            # The window may be closed, and an experimental setting of napari does without them.
            with suppress(RuntimeError, KeyError):
                controls[layer]

    controls.waiting.add(layer)
    try:
        with viewer.layers.events.inserted.blocker(make):
            yield now
    except BaseException:
        controls.waiting.discard(layer)  # there is no such layer
        raise
