"""Where a suggested name is, while the pointer or the focus rests on it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QEnterEvent, QFocusEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_wildseg.process.client import Engine


def name_buttons(d):
    return d.control("suggestions").findChildren(QPushButton)


def edges(layer):
    """Where the outer edges of a layer's first and last pixels are."""
    half = np.array(layer.scale[-2:]) / 2
    return layer.extent.world[:, -2:] + [-half, half]


@pytest.mark.parametrize("by", ["pointer", "keys"])
def test_a_name_that_is_pointed_at_is_shown_in_the_image(desk, photo, monkeypatch, by):
    d = desk(photo, scale=(0.5, 0.25))
    image = d.controller.image
    d.run("suggest")
    spots = d.controller.name_highlight
    monkeypatch.setattr(Engine, "call", lambda *a, **k: pytest.fail("it is known already"))
    first, second = name_buttons(d)[:2]
    if by == "pointer":
        come = lambda: QEnterEvent(QPointF(), QPointF(), QPointF())  # noqa: E731
        go = lambda: QEvent(QEvent.Type.Leave)  # noqa: E731
    else:
        come = lambda: QFocusEvent(QEvent.Type.FocusIn, Qt.FocusReason.TabFocusReason)  # noqa: E731
        go = lambda: QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.TabFocusReason)  # noqa: E731
    for button in (first, second):
        QApplication.sendEvent(button, come())
        name = button.text().removeprefix("+ ")
        d.qtbot.waitUntil(lambda name=name: spots.layer is not None and name in spots.layer.name)
        assert d.viewer.layers.selection.active is image
        np.testing.assert_allclose(edges(spots.layer), edges(image))
        assert d.control("image").count() == 2, "it is no image to segment"
        QApplication.sendEvent(button, go())
    d.qtbot.waitUntil(lambda: spots.layer is None)
    assert list(d.viewer.layers) == [image]
    QApplication.sendEvent(first, come())
    d.qtbot.waitUntil(lambda: spots.layer is not None)
    first.click()
    assert spots.layer is None, "the class is in the table now"


def test_the_map_is_bright_where_the_thing_is(desk, photo):
    d = desk(photo)
    d.run("suggest")
    plane, maps = d.controller.session.suggested_maps
    assert plane == d.controller.plane
    found = maps["cup"]
    height, width = found.shape
    cup = found[height // 6 : height // 2, width // 4 : 3 * width // 4]
    corners = [found[0, 0], found[0, -1], found[-1, 0], found[-1, -1]]
    assert cup.mean() > 2 * np.mean(corners)


def test_only_the_plane_that_was_looked_at_has_a_map(desk, photo):
    d = desk(np.stack([photo, photo[::-1]]))
    d.run("suggest")
    name = d.controller.session.suggestions[0][0]
    spots = d.controller.name_highlight
    spots.show(name)
    assert spots.layer is not None
    d.viewer.dims.set_current_step(0, 1 - d.viewer.dims.current_step[0])
    assert spots.layer is None
    spots.show(name)
    assert spots.layer is None
