"""What happens while a result is put into new layers, one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_wildseg.gui.annotation.session import LABELS
from napari_wildseg.gui.layers.label_layers import LabelLayers
from napari_wildseg.gui.layers.selecting import add_beside


def test_a_new_layer_is_not_selected_unless_none_was():
    viewer = ViewerModel()
    first = viewer.add_image(np.zeros((40, 50)))
    add_beside(viewer, Image(np.zeros((40, 50))))
    assert viewer.layers.selection.active is first
    viewer.layers.selection.clear()
    add_beside(viewer, third := Image(np.zeros((40, 50))))
    assert viewer.layers.selection.active is third


@pytest.fixture
def after_first(monkeypatch):
    """Return a function that has something happen once the first of two layers is added."""

    def have(what):
        add, done = LabelLayers.add, []

        def added(layers, session, image, kind, *args, **kwargs):
            add(layers, session, image, kind, *args, **kwargs)
            if not done:
                done.append(True)
                what(layers, session, image)

        monkeypatch.setattr(LabelLayers, "add", added)

    return have


def test_a_colour_chosen_meanwhile_counts(desk, photo, after_first):
    d = desk(photo, "cup of coffee, table")
    after_first(lambda *_: d.controller.recolour_class(1, (9, 99, 199)))
    d.run("auto_segment")
    for suffix in (" labels", " pseudo-labels"):
        np.testing.assert_allclose(
            d.layer(suffix).colormap.color_dict[1][:3], np.array((9, 99, 199)) / 255, atol=1e-6
        )


def test_a_label_layer_restored_meanwhile_is_used(desk, photo, after_first):
    d = desk(photo, "cup of coffee, table")
    after_first(lambda layers, session, image: layers.tracked(session, image, LABELS))
    d.run("auto_segment")
    assert [layer.name for layer in d.viewer.layers] == [
        "Image",
        "Image pseudo-labels",
        "Image labels",
    ]
    assert d.layer().data.any()


def test_an_image_removed_meanwhile_gets_no_more_labels(desk, photo, after_first):
    d = desk(photo, "cup of coffee, table")
    after_first(lambda layers, session, image: d.viewer.layers.remove(image))
    d.run("auto_segment")
    assert [layer.name for layer in d.viewer.layers] == ["Image pseudo-labels"]
    assert not d.control("cancel").isEnabled()
