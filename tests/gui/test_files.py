"""File > Open Sample, Save and Open, and the Preferences page, through napari itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image
from npe2 import PluginManifest

import napari_wildseg
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui import settings
from napari_wildseg.gui.files import get_reader, write_labels_layer
from napari_wildseg.gui.layers import class_names, make_labels

MANIFEST = Path(napari_wildseg.__file__).with_name("napari.yaml")


@pytest.fixture
def labels():
    image = Image(np.zeros((20, 30)), name="photo", scale=(0.5, 0.25), units=("um", "um"))
    made = make_labels(image, "photo labels", parse_classes("cat, dog=dog|puppy"))
    made.data[3:9, 4:12] = 2
    return made


def test_save_and_open_keep_names_colours_and_scale(make_napari_viewer, labels, tmp_path):
    viewer = make_napari_viewer()
    viewer.add_layer(labels)
    target = tmp_path / "saved.png"
    written = labels.save(str(target), plugin="napari-wildseg")
    assert target.is_file()
    assert any(name.endswith("saved.png") for name in written)
    [back] = viewer.open(str(target.with_suffix(".json")), plugin="napari-wildseg")
    assert (back.data == labels.data).all()
    assert tuple(back.scale) == (0.5, 0.25)
    assert [str(unit) for unit in back.units] == ["micrometer", "micrometer"]
    assert class_names(back)[2] == "dog"
    np.testing.assert_allclose(back.get_color(2), labels.get_color(2), atol=0.01)


def test_labels_of_another_origin_can_be_saved(tmp_path):
    data = np.zeros((9, 9), np.int32)
    data[2:4] = 7
    [png, json] = write_labels_layer(str(tmp_path / "other.png"), data, {"name": "nuclei"})
    assert Path(png).is_file()
    assert "nuclei" in Path(json).read_text()


def test_other_json_files_are_left_alone(tmp_path):
    (tmp_path / "some.json").write_text("{}")
    assert get_reader(str(tmp_path / "some.json")) is None
    assert get_reader([str(tmp_path / "some.json")]) is None


def test_sample_data_opens_with_names_that_fit(desk):
    d = desk()
    d.viewer.open_sample("napari-wildseg", "chelsea")
    assert d.controller.image.name == "chelsea"
    bar = d.control("suggestions")
    assert not bar.isHidden()
    assert d.controller.session.suggestions == [("cat", None)]


def test_preferences_reach_a_new_widget(plugin_settings, npe2pm):
    assert settings.load() == settings.Settings()
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    from napari.settings import get_plugin_settings

    page = get_plugin_settings("napari-wildseg").segmentation
    page.threshold = 0.3
    page.refine_at_once = False
    loaded = settings.load()
    assert loaded.threshold == 0.3
    assert not loaded.refine_at_once
    assert loaded.model == "starter"
    with pytest.raises(ValueError, match="less than or equal"):
        page.threshold = 3


def test_menus_hold_the_widget(npe2pm):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    for menu in ("napari/layers/segment", "napari/layers/annotate"):
        assert [item.command for item in npe2pm.iter_menu(menu)] == ["napari-wildseg.widget"]
