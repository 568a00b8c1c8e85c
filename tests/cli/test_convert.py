"""Label files from one format to another."""

from __future__ import annotations

import json

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
