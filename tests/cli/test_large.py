"""``wildseg segment`` on images and stacks that are opened without reading them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.io import read_labels


@pytest.fixture(autouse=True)
def one_model(monkeypatch, starter):
    from napari_wildseg.engine import segmenter_base

    monkeypatch.setattr(segmenter_base, "load_model", lambda spec, **options: starter)


def cat(side=150):
    photo = Image.fromarray(load_sample("chelsea")).resize((side, side * 2 // 3))
    return np.asarray(photo)


def test_a_zarr_image_gives_ome_zarr_labels(wildseg, tmp_path):
    zarr.create_array(tmp_path / "big.zarr", data=cat(480), chunks=(100, 100, 3))
    ran = wildseg("segment", "big.zarr", "--labels", "cat, sky", "--views", "fast", "--json")
    assert ran.status == 0, ran.err
    summary = json.loads(ran.out)
    folder = tmp_path / "wildseg-out"
    assert sorted(p.name for p in folder.iterdir()) == ["big.overlay.png", "big.zarr"]
    labels = read_labels(folder / "big.zarr")
    assert labels.labels.shape == (320, 480)
    assert (labels.labels[100:220, 140:340] == 1).mean() > 0.4
    assert summary["classes"][0]["pixels"] == int((labels.labels == 1).sum())
    assert labels.settings["detail"] == 1
    assert wildseg("segment", "big.zarr", "--labels", "cat").status == 2
    ran = wildseg("segment", "big.zarr", "--labels", "cat", "--out", ".", "--overwrite")
    assert ran.status == 2
    assert "would be replaced while it is read" in ran.err


def test_detail_takes_any_picture(wildseg, tmp_path):
    Image.fromarray(cat(200)).save(tmp_path / "cat.png")
    ran = wildseg("segment", "cat.png", "--labels", "cat", "--detail", "2", "--no-refine")
    assert ran.status == 0, ran.err
    folder = tmp_path / "wildseg-out"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["cat.json", "cat.overlay.png", "cat.png"]
    labels = read_labels(folder / "cat.png")
    assert set(np.unique(labels.labels)) <= {0, 1, 255}
    assert labels.settings["detail"] == 2
    assert labels.settings["refined"] is False


def test_a_stack_and_its_corrections(wildseg, tmp_path):
    stack = np.stack([cat(90)] * 3)
    tifffile.imwrite(tmp_path / "movie.tif", stack, photometric="rgb")
    fixed = np.full(stack.shape[:3], -1, np.int16)
    fixed[1, 20:40, 30:60] = 2
    np.save(tmp_path / "fixed.npy", fixed)
    options = ("--labels", "cat, hat", "--views", "single", "--json")
    ran = wildseg("segment", "movie.tif", *options, "--corrections", "fixed.npy")
    assert ran.status == 0, ran.err
    summary = json.loads(ran.out)
    assert summary["planes"] == 3
    written = zarr.open_array(tmp_path / "wildseg-out/movie.zarr/labels/wildseg/0", mode="r")
    labels = written[...]
    assert labels.shape == stack.shape[:3]
    assert (labels[1, 20:40, 30:60] == 2).all()
    # The same picture: what was corrected there is carried over to the others.
    assert (labels[[0, 2], 24:36, 36:54] == 2).mean() > 0.8
    np.save(tmp_path / "fixed.npy", fixed[:2])
    ran = wildseg("segment", "movie.tif", *options, "--corrections", "fixed.npy", "--overwrite")
    assert ran.status == 2
    assert "must be the same" in ran.err


def test_background_words_reach_stacks_and_large_images(wildseg, tmp_path, monkeypatch):
    from napari_wildseg.engine import segmenter
    from napari_wildseg.engine.large import large_segmenter

    used, original = [], segmenter.text_rows

    def text_rows(model, classes, background):
        used.append(tuple(background))
        return original(model, classes, background)

    for module in (segmenter, large_segmenter):
        monkeypatch.setattr(module, "text_rows", text_rows)
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([cat(60)] * 2), photometric="rgb")
    Image.fromarray(cat(60)).save(tmp_path / "cat.png")
    for image, *more in (("movie.tif",), ("cat.png", "--detail", "2")):
        used.clear()
        options = ("--labels", "cat", "--views", "single", "--background", "wall, floor")
        assert wildseg("segment", image, *more, *options).status == 0
        assert set(used) == {("wall", "floor")}


def test_corrections_are_for_stacks(wildseg, tmp_path):
    Image.fromarray(cat(60)).save(tmp_path / "cat.png")
    ran = wildseg("segment", "cat.png", "--labels", "cat", "--corrections", "c.npy")
    assert ran.status == 2
    assert "wildseg refine" in ran.err
