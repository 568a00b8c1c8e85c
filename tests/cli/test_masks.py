"""Masks of other programs in the terminal: what 255 means, and what is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.cli.main import main
from napari_wildseg.evaluation import open_set
from napari_wildseg.io import LabelImage, VOCDataSet


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A photograph and a mask of 0 and 255, in the current folder."""
    monkeypatch.chdir(tmp_path)
    values = np.zeros((24, 32), np.uint8)
    values[3:15, 4:20] = 255
    Image.fromarray(values).save("m.png")
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(noise).save("p.jpg")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["refine", "p.jpg", "m.png"],
        ["convert", "m.png", "c.json"],
        ["convert", "m.png", "y.txt", "--unlabelled", "background"],
    ],
)
def test_masks_of_0_and_255_are_asked_about(pair, capsys, command):
    """Neither all background nor an empty file comes of it without a word."""
    assert main(command) == 2
    assert "--value-255 class" in capsys.readouterr().err
    assert not any(pair.joinpath(name).exists() for name in ("c.json", "y.txt", "wildseg-out"))


def test_255_is_class_1_where_it_is_said(pair, capsys):
    """With the option the object is class 1, in every command alike."""
    meaning = ["--value-255", "class"]
    assert main(["convert", "m.png", "c.json", *meaning]) == 0
    content = json.loads((pair / "c.json").read_text())
    assert [c["id"] for c in content["categories"]] == [1]
    assert content["annotations"][0]["area"] == 12 * 16
    assert main(["convert", "m.png", "y.txt", *meaning]) == 0
    assert (pair / "y.txt").read_text().startswith("0 ")
    assert main(["refine", "p.jpg", "m.png", "--refiner", "random_walker", *meaning]) == 0
    assert 1 in np.unique(np.array(Image.open("wildseg-out/p.png")))
    assert main(["convert", "m.png", "u.json", "--value-255", "unlabelled"]) == 0
    capsys.readouterr()


def evaluation_set(folder, *names, value=1):
    """Write an evaluation set of 40 x 40 pictures with masks of these names."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = value
    for name in names:
        Image.new("RGB", (40, 40), (200, 30, 30)).save(folder / "images" / f"{name[0]}.jpg")
        if len(name) > 1:
            Image.fromarray(mask).save(folder / "masks" / name, "PNG")
    (folder / "classes.json").write_text('{"1": "cat"}')
    return folder


def test_evaluate_says_what_255_means(tmp_path, capsys):
    """A set of masks of 0 and 255 has no class, unless 255 is one."""
    folder = evaluation_set(tmp_path, "a.png", value=255)
    command = ["evaluate", str(folder), "--views", "single"]
    assert main(command) == 2
    assert "--value-255 class reads it as class 1" in capsys.readouterr().err
    assert main([*command, "--json", "--value-255", "class"]) == 0
    assert "cat" in json.loads(capsys.readouterr().out)["per_class"]


def test_evaluate_names_pictures_without_a_mask(tmp_path, capsys):
    """An ending in upper case is as good; what has no mask is named."""
    folder = evaluation_set(tmp_path, "a.PNG", "b", "c.tif")
    data = open_set(folder)
    assert [item.stem for item in data.items] == ["a"]
    assert data.left_out == ("b.jpg", "c.jpg")
    assert main(["evaluate", str(folder), "--views", "single", "--json"]) == 0
    assert "2 pictures without a mask (.png) are left out: b.jpg, c.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", [3, 6])
def test_evaluate_turns_masks_as_it_turns_pictures(tmp_path, orientation):
    """A photograph and its mask with the same EXIF orientation lie over each other."""
    folder = evaluation_set(tmp_path, "a.png")
    exif = Image.Exif()
    exif[274] = orientation
    values = np.zeros((24, 32), np.uint8)
    values[2:8, 2:10] = 1
    Image.fromarray(values).save(folder / "masks/a.png", exif=exif)
    Image.fromarray(np.dstack([values * 255] * 3)).save(
        folder / "images/a.jpg", exif=exif, quality=100
    )
    (item,) = open_set(folder).items
    np.testing.assert_array_equal(item.mask() == 1, item.image()[..., 0] > 128)


def test_our_own_voc_set_is_read_whatever_its_names(tmp_path):
    """File names with spaces and class names that begin with # are ours to write and to read."""
    data_set = VOCDataSet(tmp_path)
    values = np.zeros((20, 30), np.uint8)
    values[5:15, 5:15] = 1
    classes = LabelImage.from_array(values).classes
    from dataclasses import replace

    labels = LabelImage(values, (replace(classes[0], name="#1 mug: red"),))
    for stem in ("a photo of 2020", "b#1"):
        data_set.add(stem, np.zeros((20, 30, 3), np.uint8), labels)
    found = open_set(tmp_path, "train")
    assert [item.stem for item in found.items] == ["a photo of 2020", "b#1"]
    assert found.items[0].names == {1: "#1 mug: red"}
    assert (found.items[1].mask() == 1).sum() == 100
