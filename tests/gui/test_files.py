"""File > Open Sample, Save and Open, and the Preferences page, through napari itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from npe2 import PluginManifest

import napari_wildseg
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui import preferences
from napari_wildseg.gui.layer_files import get_reader, write_labels_layer
from napari_wildseg.gui.layers.label_pair import class_names, make_labels
from napari_wildseg.io import read_labels

MANIFEST = Path(napari_wildseg.__file__).with_name("napari.yaml")


@pytest.fixture
def labels():
    image = Image(np.zeros((20, 30)), name="photo", scale=(0.5, 0.25), units=("um", "um"))
    made = make_labels(image, "photo labels", parse_classes("cat, dog=dog|puppy"))
    made.data[3:9, 4:12] = 2
    return made


ENDINGS = [".png", ".labels.tif", ".labels.ome.tif", ".npz", ".json", ".txt", ".labels.zarr"]


@pytest.mark.parametrize("ending", [*ENDINGS, ".wildseg"])
def test_save_and_open_keep_names_colours_and_place(plugins, labels, tmp_path, ending):
    viewer = ViewerModel()
    viewer.add_layer(labels)
    labels.translate = (7, -3)
    labels.rotate = 30
    labels.affine = np.array([[2, 0, 5], [0.5, 1, 0], [0, 0, 1]])
    target = tmp_path / f"saved{ending}"
    written = labels.save(str(target), plugin="napari-wildseg")
    assert target.exists()
    assert any(name.endswith(target.name) for name in written)
    opened = target.with_suffix(".json") if ending in (".png", ".txt") else target
    [back] = viewer.open(str(opened), plugin="napari-wildseg")
    assert (back.data == labels.data).all()
    assert tuple(back.scale) == (0.5, 0.25)
    for corner in ([0, 0], [19, 29], [5, 0]):
        np.testing.assert_allclose(back.data_to_world(corner), labels.data_to_world(corner))
    assert [str(unit) for unit in back.units] == ["micrometer", "micrometer"]
    assert class_names(back)[2] == "dog"
    np.testing.assert_allclose(back.get_color(2), labels.get_color(2), atol=0.01)


def test_a_stack_keeps_its_axes(plugins, tmp_path):
    viewer = ViewerModel()
    data = np.zeros((3, 8, 9), np.int32)
    data[1, 2:4] = 3
    layer = viewer.add_labels(data, scale=(5, 0.5, 0.5), translate=(1, 2, 3))
    for name in ("s.labels.tif", "s.npz", "s.labels.zarr"):
        layer.save(str(tmp_path / name), plugin="napari-wildseg")
        [back] = viewer.open(str(tmp_path / name), plugin="napari-wildseg")
        assert (back.data == data).all()
        assert tuple(back.scale) == (5, 0.5, 0.5)
        assert tuple(back.translate) == (1, 2, 3)


def test_corrections_and_prompts_go_along(desk, photo, tmp_path):
    d = desk(photo, "cup of coffee=cup|mug", name="photo")
    d.run("auto_segment")
    layer = d.layer()
    layer.brush_size = 9
    layer.mode = "paint"
    layer.paint((20, 20), 1)
    layer.save(str(tmp_path / "x.png"), plugin="napari-wildseg")
    [back] = d.viewer.open(str(tmp_path / "x.json"), plugin="napari-wildseg")
    back.save(str(tmp_path / "y.npz"), plugin="napari-wildseg")
    found = read_labels(tmp_path / "y.npz")
    assert (found.corrections[18:23, 18:23] == 1).all()
    assert found.classes[0].prompts == ("cup", "mug")
    assert found.image == "photo"
    assert found.model == "starter"
    layer.save(str(tmp_path / "x.wildseg"), plugin="napari-wildseg")
    assert d.viewer.open(str(tmp_path / "x.wildseg"), plugin="napari-wildseg")


def test_menus_offer_the_formats_and_napari_keeps_its_own(new_viewer, labels, tmp_path):
    from napari.plugins import _npe2

    viewer = new_viewer()  # finds the plugins
    text, _ = _npe2.file_extensions_string_for_layers([labels])
    assert "Indexed PNG with class names (*.png)" in text
    assert "OME-Zarr labels (*.zarr)" in text
    # A plain TIFF of instances beyond 8 bits is napari's to write, as it was before.
    many = viewer.add_labels(np.arange(400, dtype=np.int32).reshape(20, 20))
    many.save(str(tmp_path / "many.tif"))
    import tifffile

    assert (tifffile.imread(tmp_path / "many.tif") == many.data).all()


def test_a_sidecar_replaces_nothing_but_a_sidecar(labels, tmp_path):
    (tmp_path / "x.json").write_text("mine")
    with pytest.raises(InputError, match="belongs to something else"):
        write_labels_layer(str(tmp_path / "x.png"), labels.data, {})
    assert (tmp_path / "x.json").read_text() == "mine"
    assert not (tmp_path / "x.png").exists()


def test_labels_beyond_8_bits_are_a_sentence(tmp_path):
    with pytest.raises(InputError, match="0 to 255"):
        write_labels_layer(str(tmp_path / "x.png"), np.array([[0, 300]]), {})
    assert not list(tmp_path.iterdir())


def test_labels_of_another_origin_can_be_saved(tmp_path):
    data = np.zeros((9, 9), np.int32)
    data[2:4] = 7
    [png, json] = write_labels_layer(str(tmp_path / "other.png"), data, {"name": "nuclei"})
    assert Path(png).is_file()
    assert "nuclei" in Path(json).read_text()


def test_other_json_files_are_left_alone(tmp_path):
    (tmp_path / "some.json").write_text("{}")
    np.savez(tmp_path / "some.npz", weights=np.ones(3))
    assert get_reader(str(tmp_path / "some.npz")) is None
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
    assert preferences.load() == preferences.Settings()
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    from napari.settings import get_plugin_settings

    page = get_plugin_settings("napari-wildseg").segmentation
    page.threshold = 0.3
    page.refine_at_once = False
    loaded = preferences.load()
    assert loaded.threshold == 0.3
    assert not loaded.refine_at_once
    assert loaded.model == "starter"
    with pytest.raises(ValueError, match="less than or equal"):
        page.threshold = 3


def test_menus_hold_the_widget(npe2pm):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    for menu in ("napari/layers/segment", "napari/layers/annotate"):
        assert [item.command for item in npe2pm.iter_menu(menu)] == ["napari-wildseg.widget"]
