"""What draws a new layer is made before the layer is added, and is the layer's own."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari._qt import qt_viewer
from napari.layers import Labels

from napari_wildseg.gui import early_visual
from napari_wildseg.gui.early_visual import _KEPT as KEPT
from napari_wildseg.gui.early_visual import made_ahead, make_ahead


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((40, 50)), name="Image")
    return viewer


def ahead(viewer, layer, qtbot) -> None:
    ready: list[bool] = []
    make_ahead(viewer, layer, lambda: ready.append(True))
    assert KEPT not in vars(layer), "in a turn of its own"
    qtbot.waitUntil(lambda: bool(ready))


def visuals(viewer):
    return viewer.window._qt_viewer.canvas.layer_to_visual


def test_the_layer_takes_what_was_made_for_it(viewer, qtbot):
    make = qt_viewer.create_vispy_layer
    layer = Labels(np.zeros((40, 50), np.uint8))
    ahead(viewer, layer, qtbot)
    made, _ = vars(layer)[KEPT]
    with made_ahead(viewer, layer):
        viewer.add_layer(layer)
    assert visuals(viewer)[layer] is made
    assert qt_viewer.create_vispy_layer is make
    layer.data_setitem(np.nonzero(np.ones((40, 50))), 1)
    assert (made.node._data == made.node._data.max()).all(), "it shows what is painted"


def test_others_that_are_added_meanwhile_get_their_own(viewer, qtbot):
    layer, other = (Labels(np.zeros((40, 50), np.uint8)) for _ in range(2))
    ahead(viewer, layer, qtbot)
    with made_ahead(viewer, layer):
        viewer.add_layer(other)
        viewer.add_layer(layer)
    assert visuals(viewer)[other] is not visuals(viewer)[layer]
    assert visuals(viewer)[other].layer is other


def test_a_visual_that_cannot_be_made_holds_nothing_up(viewer, qtbot, monkeypatch):
    def fails(*_args, **_kwargs):
        raise TypeError("another signature")

    layer = Labels(np.zeros((40, 50), np.uint8))
    with monkeypatch.context() as patched:
        patched.setattr(qt_viewer, "create_vispy_layer", fails)
        ahead(viewer, layer, qtbot)
    with made_ahead(viewer, layer):
        viewer.add_layer(layer)
    assert visuals(viewer)[layer].layer is layer


def test_large_layers_and_other_versions_of_napari_do_without(viewer, qtbot, monkeypatch):
    layer = Labels(np.zeros((40, 50), np.uint8))
    with monkeypatch.context() as small:
        small.setattr(early_visual, "LARGE", 100)
        ahead(viewer, layer, qtbot)
    with monkeypatch.context() as other:
        other.setattr(early_visual, "_NAME", "make_a_visual")
        ahead(viewer, layer, qtbot)
    assert KEPT not in vars(layer)
    with made_ahead(viewer, layer):
        viewer.add_layer(layer)
    assert layer in visuals(viewer)


def test_nothing_is_kept_of_a_layer_that_is_not_added(viewer, qtbot):
    layer = Labels(np.zeros((40, 50), np.uint8))
    ahead(viewer, layer, qtbot)
    there = weakref.ref(layer)
    del layer

    def is_gone() -> bool:
        gc.collect()
        return there() is None

    qtbot.waitUntil(is_gone)
