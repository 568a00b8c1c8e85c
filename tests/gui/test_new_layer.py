"""A new layer comes over several turns of the event loop, and is as any other afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_wildseg.gui.late_controls import controls_later
from napari_wildseg.gui.layers.label_layers import LabelLayers
from napari_wildseg.gui.new_layer import add_in_turns


def shown_overlays(layer) -> int:
    return sum(bool(overlay.visible) for overlay in layer._overlays.values())


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer whose window is shown, and an image in it."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((40, 50)), name="Image")
    return viewer


class Paints(QObject):
    """Counts how often something in a window is painted."""

    def __init__(self, viewer):
        super().__init__()
        self.window, self.count = viewer.window._qt_window, 0
        assert self.window.isVisible()
        QApplication.instance().installEventFilter(self)

    def eventFilter(self, watched, event):  # noqa: N802
        if event.type() == QEvent.Type.Paint and watched.window() is self.window:
            self.count += 1
        return False

    def end(self):
        QApplication.instance().removeEventFilter(self)


def painted(viewer, qtbot) -> bool:
    """Whether the window is painted when it has to be."""
    paints = Paints(viewer)
    viewer.window._qt_window.update()
    qtbot.waitUntil(lambda: paints.count > 0)
    paints.end()
    return True


def labels() -> Labels:
    return Labels(np.zeros((40, 50), np.uint8), name="new")


def test_the_event_loop_comes_round_between_the_parts(viewer, qtbot):
    image, layer = viewer.layers[0], labels()
    complete = shown_overlays(layer)
    assert complete >= 2
    done: list[bool] = []
    seen: list[tuple[Any, ...]] = []
    paints, timer = Paints(viewer), QTimer()

    def look() -> None:
        seen.append((shown_overlays(layer), paints.count, bool(done)))
        viewer.window._qt_window.update()

    timer.timeout.connect(look)
    timer.start(0)
    QApplication.processEvents()
    seen.clear()
    paints.count = 0
    draws: list[int] = []
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda _: draws.append(paints.count))
    add_in_turns(viewer, layer, lambda: done.append(True))
    assert layer in viewer.layers
    assert viewer.layers.selection.active is image, "its controls need not be shown"
    qtbot.waitUntil(lambda: bool(done))
    timer.stop()
    paints.end()
    assert {count for count, *_ in seen} >= set(range(complete)), "one part a turn"
    assert all(count == complete for count, drawn, _ in seen if drawn)
    assert 0 in draws, "the layer is drawn ahead of the window"
    assert any(drawn and not over for _, drawn, over in seen), "before the next thing is done"
    viewer.layers.selection.active = layer
    assert viewer.layers.selection.active is layer


def test_a_layer_that_is_removed_at_once_leaves_the_window_in_order(viewer, qtbot):
    layer = labels()
    done: list[bool] = []
    add_in_turns(viewer, layer, lambda: done.append(True))
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: bool(done))
    assert painted(viewer, qtbot)
    assert list(viewer.layers.selection) == [viewer.layers[0]]


def controls_of(viewer) -> dict[Any, Any]:
    return viewer.window._qt_viewer.controls.widgets


def test_controls_come_in_a_turn_of_their_own(viewer, qtbot):
    layer, done = labels(), []
    add_in_turns(viewer, layer, lambda: done.append(True))
    assert layer not in controls_of(viewer), "not yet, or this splits nothing"
    qtbot.waitUntil(lambda: bool(done))
    made = controls_of(viewer)[layer]
    viewer.layers.selection.active = layer
    assert viewer.window._qt_viewer.controls.currentWidget() is made
    viewer.layers.remove(layer)
    assert layer not in controls_of(viewer)
    second = viewer.add_labels(np.zeros((40, 50), np.uint8))
    assert second in controls_of(viewer), "other layers are as ever"


def test_controls_come_earlier_where_they_are_needed(viewer, qtbot):
    """As when a click falls between two turns of the event loop."""
    layers = [labels() for _ in range(3)]
    done: list[int] = []
    for number, layer in enumerate(layers):
        add_in_turns(viewer, layer, lambda number=number: done.append(number))
    viewer.layers.selection.active = layers[0]
    made = controls_of(viewer)[layers[0]]
    assert viewer.window._qt_viewer.controls.currentWidget() is made
    viewer.layers.remove(layers[1])
    assert layers[2] not in controls_of(viewer)
    viewer.layers.selection = {layers[0], layers[2]}
    qtbot.waitUntil(lambda: len(done) == 3)
    assert controls_of(viewer)[layers[0]] is made, "made once"
    assert layers[1] not in controls_of(viewer)
    assert layers[2] in controls_of(viewer)


def test_where_controls_are_elsewhere_they_come_with_the_layer(viewer):
    stand_in = SimpleNamespace(layers=viewer.layers, window=None)
    layer = labels()
    with controls_later(stand_in, layer) as now:
        viewer.add_layer(layer)
    assert layer in controls_of(viewer)
    made = controls_of(viewer)[layer]
    now()
    assert controls_of(viewer)[layer] is made


def test_a_layer_that_cannot_be_added_leaves_the_window_in_order(viewer, monkeypatch, qtbot):

    def refuse(layer):
        raise ValueError("no")

    monkeypatch.setattr(type(viewer), "add_layer", lambda self, layer: refuse(layer))
    with pytest.raises(ValueError, match="no"):
        add_in_turns(viewer, labels(), lambda: None)
    assert painted(viewer, qtbot)
    assert not viewer.layers.selection.events.active.blocked()
    monkeypatch.undo()
    assert viewer.add_labels(np.zeros((40, 50), np.uint8)) in controls_of(viewer)
    assert not controls_of(viewer).waiting


def test_where_nothing_is_selected_napari_selects(viewer, qtbot):
    viewer.layers.selection.clear()
    layer = Image(np.zeros((40, 50)))
    done: list[bool] = []
    add_in_turns(viewer, layer, lambda: done.append(True))
    assert viewer.layers.selection.active is layer
    qtbot.waitUntil(lambda: bool(done))


def after_make(monkeypatch, what) -> None:
    """Have something happen between the making of a label layer and its coming."""
    make = LabelLayers.make

    def made(self, session, image, kind, plan):
        layer = make(self, session, image, kind, plan)
        what(self, session, image, kind)
        return layer

    monkeypatch.setattr(LabelLayers, "make", made)


def test_a_colour_chosen_meanwhile_counts(desk, photo, monkeypatch):
    d = desk(photo, "cup of coffee, table")
    after_make(monkeypatch, lambda *_: d.controller.recolour_class(1, (9, 99, 199)))
    d.run("auto_segment")
    for suffix in (" labels", " pseudo-labels"):
        np.testing.assert_allclose(
            d.layer(suffix).colormap.color_dict[1][:3], np.array((9, 99, 199)) / 255, atol=1e-6
        )


def test_a_label_layer_restored_meanwhile_is_used(desk, photo, monkeypatch):
    d = desk(photo, "cup of coffee, table")
    after_make(
        monkeypatch,
        lambda layers, session, image, kind: layers.tracked(session, image, kind),
    )
    d.run("auto_segment")
    assert [layer.name for layer in d.viewer.layers] == [
        "Image",
        "Image pseudo-labels",
        "Image labels",
    ]
    assert d.layer().data.any()


def test_an_image_removed_meanwhile_gets_no_labels(desk, photo, monkeypatch):
    d = desk(photo, "cup of coffee, table")

    def remove(layers, session, image, kind):
        d.viewer.layers.remove(image)

    after_make(monkeypatch, remove)
    d.run("auto_segment")
    assert not d.viewer.layers
    assert not d.control("cancel").isEnabled()
