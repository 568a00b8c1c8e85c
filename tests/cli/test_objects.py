"""``wildseg objects``: files, refusals, counts."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.io import LabelImage, write_labels
from napari_wildseg.io.objects import read_objects


@pytest.fixture
def labels(tmp_path):
    """Two discs that touch, one alone, a speck, and sky in two pieces."""
    rows, columns = np.mgrid[:60, :100]
    values = np.zeros((60, 100), np.uint8)
    for y, x, radius in ((25, 20, 10), (25, 37, 10), (30, 75, 9), (50, 50, 2)):
        values[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 1
    values[:5, :30] = values[:5, 60:] = 2
    about = LabelImage(values, parse_classes("nucleus, sky"), scale=(0.5, 0.5), units="micrometer")
    write_labels(tmp_path / "cells.png", about)
    return about


def test_ids_and_table(wildseg, labels, tmp_path):
    ran = wildseg("objects", "cells.png", "--classes", "nucleus", "--min-size", "20", "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["objects"] == 4
    assert [entry["objects"] for entry in found["classes"]] == [3, 1]
    assert found["files"]["objects"].endswith("cells.objects.png")
    folder = tmp_path / "wildseg-out"
    objects = read_objects(folder / "cells.objects.png")
    assert np.array(Image.open(folder / "cells.objects.png")).dtype == np.uint16
    lines = (folder / "cells.objects.csv").read_text("utf-8").splitlines()
    rows = {int(row["id"]): row for row in csv.DictReader(lines)}
    for number, value in objects.class_of.items():
        assert float(rows[number]["area"]) == (objects.ids == number).sum() * 0.25
        assert rows[number]["class"] == ("", "nucleus", "sky")[value]
        assert rows[number]["unit"] == "micrometer"


@pytest.mark.parametrize("ending", ["tif", "json", "txt", "zarr"])
def test_formats(wildseg, labels, tmp_path, ending):
    ran = wildseg("objects", "cells.png", "--out", "o", "--format", ending)
    assert (ran.status, ran.err) == (0, "")
    assert len(read_objects(tmp_path / f"o/cells.objects.{ending}").class_of) == 6
    assert "nucleus: 4 objects" in ran.out
    ran = wildseg("objects", "cells.png", "--out", "o", "--format", ending)
    assert ran.status == 2
    assert "already there" in ran.err
    ran = wildseg("objects", "cells.png", "--out", "o", "--format", ending, "--overwrite")
    assert ran.status == 0


def test_the_picture_must_be_of_the_labels_size(wildseg, labels, tmp_path):
    rows, columns = np.mgrid[:60, :100]
    bar = ((abs(rows - 30) < 9) & (abs(columns - 50) < 18)).astype(np.uint8)
    picture = np.where(columns < 50, 60, 220).astype(np.uint8) * bar
    Image.fromarray(picture).save(tmp_path / "bar.tif")
    ran = wildseg("objects", "cells.png", "--image", "bar.tif", "--out", "x", "--json")
    assert ran.status == 0
    Image.fromarray(picture[:50]).save(tmp_path / "small.png")
    ran = wildseg("objects", "cells.png", "--image", "small.png", "--out", "y")
    assert ran.status == 2
    assert "labels' size" in ran.err


def test_a_stack_keeps_ids(wildseg, labels, tmp_path):
    stack = np.stack([labels.labels, np.roll(labels.labels, 2, axis=1)])
    write_labels(tmp_path / "s.tif", LabelImage(stack, labels.classes))
    ran = wildseg("objects", "s.tif", "--min-size", "20")
    assert ran.status == 0, ran.err
    ids = read_objects(tmp_path / "wildseg-out/s.objects.tif").ids
    assert ids[0, 30, 75] == ids[1, 30, 77] > 0
    assert wildseg("objects", "s.tif", "--image", "cells.png", "--overwrite").status == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.png"], "no file"),
        (["cells.png", "--classes", "dog"], "no class"),
        (["cells.png", "--min-size", "0"], "above 0"),
        (["cells.png", "--image", "missing.png"], "missing.png"),
    ],
)
def test_what_is_wrong_is_said(wildseg, labels, arguments, says):
    ran = wildseg("objects", *arguments)
    assert ran.status == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_segment_and_batch_write_objects(wildseg, tmp_path):
    from skimage.data import coins

    (tmp_path / "in").mkdir()
    Image.fromarray(coins()[:150, :150]).save(tmp_path / "in" / "a.png")
    fast = ["--labels", "coin", "--views", "single", "--threshold", "0.3", "--objects"]
    ran = wildseg("segment", "in/a.png", *fast, "--out", "s", "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)["objects"]
    segmented = read_objects(tmp_path / "s/a.objects.png")
    assert len(segmented.class_of) == found["objects"] > 0
    ran = wildseg("batch", "in", *fast, "--out", "b")
    assert ran.status == 0, ran.err
    batched = read_objects(tmp_path / "b/objects/a.objects.png")
    np.testing.assert_array_equal(batched.ids, segmented.ids)
    assert (tmp_path / "b/objects/a.objects.csv").is_file()


def test_evaluate_objects_end_to_end(wildseg, tmp_path):
    from skimage.data import coins

    image = coins()[:150, :150]
    for part in ("images", "masks", "instances"):
        (tmp_path / "set" / part).mkdir(parents=True)
    ids = np.zeros(image.shape, np.uint16)
    ids[30:70, 20:60], ids[30:70, 80:120] = 1, 2
    Image.fromarray(image).save(tmp_path / "set/images/a.png")
    Image.fromarray((ids > 0).astype(np.uint8)).save(tmp_path / "set/masks/a.png")
    Image.fromarray(ids).save(tmp_path / "set/instances/a.png")
    (tmp_path / "set/classes.json").write_text('{"1": "coin"}')
    ran = wildseg("evaluate", "set", "--objects", "--views", "single", "--clicks", "1", "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["masks"]["pq"] == 1
    assert 0 <= found["end_to_end"]["pq"] <= 1
    assert len(found["end_to_end"]["pq_after"]) == 2
    assert wildseg("evaluate", "set", "--objects", "--labels", "auto").status == 2
    # What finished images taught is used.
    assert wildseg("evaluate", "set", "--memory", "m.wildmemory").status == 2
    assert (
        wildseg("remember", "set", "-o", "m.wildmemory", "--alike", "--views", "single").status == 0
    )
    ran = wildseg(
        *("evaluate", "set", "--objects", "--views", "single", "--memory", "m.wildmemory", "--json")
    )
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["end_to_end"]["pq"] != found["end_to_end"]["pq"]
