"""Names that look like HTML are shown as they are typed; nothing that they name is loaded."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils import notifications
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_wildseg.gui import notices
from napari_wildseg.gui.controls.plain_text import plain, raw
from napari_wildseg.gui.layers.label_pair import (
    apply_style,
    class_names,
    colours_and_features,
    make_labels,
)

EVIL = '<img src="file:/tmp/x.png">'


@pytest.mark.parametrize("text", [EVIL, "a <b>c</b>", "a&lt;b", "<a/>"])
def test_what_qt_would_lay_out_is_shown_as_it_is(text):
    assert Qt.mightBeRichText(text)
    assert not Qt.mightBeRichText(plain(text))
    assert raw(plain(text)) == text


@pytest.mark.parametrize("text", ["cat", "cells < 10 um & more", "", "a\n<b>"])
def test_other_texts_are_not_touched(text):
    assert plain(text) == text


def test_messages_and_label_layers_show_names_as_they_are(monkeypatch, qapp):
    from napari.layers import Image

    from napari_wildseg.engine.classes import parse_classes

    said = []
    monkeypatch.setattr(notifications, "show_warning", said.append)
    notices.warn(f"There is no {EVIL} here.")
    assert raw(said[0]) == f"There is no {EVIL} here."
    assert not Qt.mightBeRichText(said[0])
    classes = parse_classes([f'"{EVIL}"'.replace(EVIL, "<b>cell</b>")])
    image = Image(np.zeros((20, 30)))
    layer = make_labels(image, "labels", classes)
    apply_style(layer, classes)
    assert not any(map(Qt.mightBeRichText, layer.features["class"]))
    assert class_names(layer)[1] == classes[0].name
    assert colours_and_features(classes)[1]["class"][0] == "background"


def test_the_window_shows_names_as_they_are(desk):
    d = desk(np.zeros((20, 30), np.uint8))
    d.controller.add_classes(f'"{EVIL}"')
    d.controller.session.suggestions = [(EVIL, 0.9)]
    d.controller.classes_changed.emit()
    d.controller.status.emit(EVIL)
    for name in ("status", "review_where"):
        assert d.control(name).textFormat() == Qt.TextFormat.PlainText
    assert d.control("left_over").findChild(QLabel).textFormat() == Qt.TextFormat.PlainText
    model = d.control("classes").model()
    for column in range(2):
        assert not Qt.mightBeRichText(model.index(0, column).data(Qt.ItemDataRole.ToolTipRole))
    for control in d.widget.findChildren(QWidget):
        assert not Qt.mightBeRichText(control.toolTip()), control.objectName()
