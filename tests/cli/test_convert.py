"""Label files from one format to another."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io import FORMATS, LabelImage, read_labels, write_labels


@pytest.fixture
def source(tmp_path):
    """Two classes, one of them with a hole, as a PNG."""
    labels = np.zeros((20, 30), np.uint8)
    labels[2:12, 3:15] = 1
    labels[5:8, 6:9] = 0
    labels[14:18, 20:28] = 7
    classes = (
        ClassInfo(1, "cat", ("cat", "kitten"), (10, 20, 30)),
        ClassInfo(7, "größe", ("size",), (250, 0, 9)),
    )
    found = LabelImage(labels, classes, scale=(0.5, 0.25), units="micrometer", image="photo")
    write_labels(tmp_path / "in.png", found)
    return found


@pytest.mark.parametrize("ending", [format.suffixes[0] for format in FORMATS[1:]])
def test_there_and_back(wildseg, source, tmp_path, ending):
    ran = wildseg("convert", "in.png", f"out/x{ending}")
    assert (ran.status, ran.err) == (0, "")
    assert str(tmp_path / "out" / f"x{ending}")[-8:] in ran.out
    ran = wildseg("convert", f"out/x{ending}", "back.png")
    assert (ran.status, ran.err) == (0, "")
    found = read_labels(tmp_path / "back.png")
    assert (found.labels == source.labels).all()
    assert found.classes == source.classes
    assert found.scale == source.scale
    assert found.units == "micrometer"


def test_coco_options(wildseg, source, tmp_path):
    for instances, count in (("component", 2), ("class", 2)):
        name = f"{instances}.json"
        ran = wildseg(
            "convert", "in.png", name, "--instances", instances, "--segmentation", "polygon"
        )
        assert (ran.status, ran.err) == (0, "")
        found = json.loads((tmp_path / name).read_text("utf-8"))["annotations"]
        assert len(found) == count
        assert all(isinstance(entry["segmentation"], list) for entry in found)
    assert wildseg("convert", "in.png", "x.tif", "--instances", "class").status == 2


def test_planes_of_stacks_and_unlabelled_pixels(wildseg, tmp_path):
    values = np.zeros((3, 6, 8), np.uint8)
    values[1, 2:4] = 5
    values[1, 0] = 255
    write_labels(tmp_path / "s.tif", LabelImage.from_array(values))
    assert wildseg("convert", "s.tif", "s.zarr").status == 0
    ran = wildseg("convert", "s.zarr", "s.png")
    assert ran.status == 2
    assert "one plane" in ran.err
    assert wildseg("convert", "s.zarr", "s.png", "--plane", "1").status == 0
    assert (read_labels(tmp_path / "s.png").labels == values[1]).all()
    assert "no plane" in wildseg("convert", "s.zarr", "t.png", "--plane", "3").err
    assert "wants a number" in wildseg("convert", "s.zarr", "t.png", "--plane", "x").err
    ran = wildseg("convert", "s.png", "s.txt")
    assert ran.status == 2
    assert "unlabelled" in ran.err
    ran = wildseg("convert", "s.png", "out/s.txt", "--unlabelled", "background")
    assert (ran.status, ran.err) == (0, "")
    assert (read_labels(tmp_path / "out/s.txt").labels == values[1] % 255).all()


def test_one_picture_of_several(wildseg, tmp_path):
    from napari_wildseg.io import COCODataSet

    data = COCODataSet(tmp_path / "set")
    for name, value in (("a", 1), ("b", 2)):
        labels = LabelImage.from_array(np.full((6, 8), value, np.uint8))
        data.add(name, np.zeros((6, 8, 3), np.uint8), labels)
    listing = "set/annotations/instances_train.json"
    assert wildseg("convert", listing, "x.png").status == 2
    assert wildseg("convert", listing, "x.png", "--image", "b").status == 0
    assert (read_labels(tmp_path / "x.png").labels == 2).all()
    assert wildseg("convert", "x.png", "y.png", "--image", "b").status == 2


def test_what_is_wrong_is_said(wildseg, source, tmp_path):
    ran = wildseg("convert", "in.png", "x.docx")
    assert ran.status == 2
    assert "no ending" in ran.err
    assert wildseg("convert", "missing.png", "x.tif").status == 2
    (tmp_path / "x.tif").write_text("mine")
    ran = wildseg("convert", "in.png", "x.tif")
    assert ran.status == 2
    assert "already there" in ran.err
    assert (tmp_path / "x.tif").read_text() == "mine"
    assert wildseg("convert", "in.png", "x.tif", "--overwrite").status == 0


def two_images(path):
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 12, "width": 16} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "segmentation": [[3, 2, 9, 2, 9, 6, 3, 6]],
                "iscrowd": 0,
            }
            for i in (1, 2)
        ],
    }
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("coco.json", "coco.png", "--image", "1"), "is read"),
        (("coco.json", "coco.txt", "--image", "1"), "is read"),
        (("in.png", "in.json"), "is read"),
        (("in.png", "in.txt"), "is read"),
        (("in.png", "in.png"), "is read"),
        (("link.png", "in.png"), "is read"),
        (("in.png", "link.png"), "is read"),
        (("in.png", "other.json"), "describes other.txt"),
        (("in.png", "other.png"), "describes other.txt"),
        (("other.txt", "old.json"), "describes old.png"),
        (("other.txt", "old.txt"), "describes old.png"),
        (("other.txt", "labelme.png"), "is no such file"),
        (("other.txt", "broken.png"), "is no such file"),
    ],
)
def test_what_is_read_or_belongs_to_another_file_is_never_replaced(
    wildseg, source, tmp_path, command, why
):
    two_images(tmp_path / "coco.json")
    for name in ("other.txt", "old.png"):
        write_labels(tmp_path / name, source)
    about = json.loads((tmp_path / "old.json").read_text("utf-8"))
    del about["labels_file"]  # as version 0.1 wrote it
    (tmp_path / "old.json").write_text(json.dumps(about))
    (tmp_path / "labelme.json").write_text('{"version": "5.0", "shapes": []}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "link.png").symlink_to(tmp_path / "in.png")

    def everything():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    before = everything()
    ran = wildseg("convert", *command, "--overwrite")
    assert ran.status == 2
    assert why in ran.err
    assert everything() == before


def test_what_is_of_the_file_itself_is_replaced(wildseg, source, tmp_path):
    two_images(tmp_path / "x.json")
    for name in ("a.png", "b.txt", "x.json", "c.tif", "c.tif"):
        assert wildseg("convert", "in.png", name, "--overwrite").status == 0
        assert read_labels(tmp_path / name).classes == source.classes
    for ending in ("png", "json"):  # renamed and copied by hand
        shutil.copy(tmp_path / f"a.{ending}", tmp_path / f"copy.{ending}")
    assert wildseg("convert", "b.txt", "copy.png", "--overwrite").status == 0
