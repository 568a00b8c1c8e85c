"""Objects in files: nothing is lost, and other programs read the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import LabelImage
from napari_wildseg.io.objects import ObjectImage, read_objects, write_objects

ENDINGS = [".png", ".tif", ".json", ".txt", ".zarr"]


def some_objects(unlabelled: bool = True) -> ObjectImage:
    """Objects with a hole, two pieces, one pixel, an id beyond 255 and classes that touch."""
    ids = np.zeros((40, 50), np.int32)
    ids[2:12, 3:15] = 1
    ids[5:8, 6:9] = 0
    ids[2:12, 15:20] = 7
    ids[20:24, 4:8] = ids[30:35, 20:22] = ids[26, 30] = 300
    ids[39, 49] = 12
    ids[15:30:2, 40:45] = 60000
    labels = np.where(ids > 0, 1, 0).astype(np.uint8)
    labels[ids == 7] = labels[ids == 300] = 3
    if unlabelled:
        labels[0, :10] = 255
    classes = parse_classes('cat, cup of coffee=cup|mug, "ünï, code"')
    about = {"scale": (0.5, 0.25), "units": "micrometer", "image": "pïcture"}
    return ObjectImage(ids, LabelImage(labels, classes, **about))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read_back(tmp_path: Path, ending: str) -> None:
    objects = some_objects()
    write_objects(tmp_path / f"a{ending}", objects)
    back = read_objects(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(back.ids, objects.ids)
    np.testing.assert_array_equal(back.labels.labels, objects.labels.labels)
    assert back.class_of == objects.class_of == {1: 1, 7: 3, 12: 1, 300: 3, 60000: 1}
    assert back.labels.classes == objects.labels.classes
    assert (back.labels.scale, back.labels.units) == ((0.5, 0.25), "micrometer")
    assert back.labels.image == "pïcture"


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_a_stack_is_read_back(tmp_path: Path, ending: str) -> None:
    plane = some_objects()
    ids = np.stack([plane.ids, plane.ids[::-1]])
    labels = np.stack([plane.labels.labels, plane.labels.labels[::-1]])
    objects = ObjectImage(ids, LabelImage(labels, plane.labels.classes, scale=(2.0, 1.0, 1.0)))
    write_objects(tmp_path / f"a{ending}", objects)
    back = read_objects(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(back.ids, ids)
    assert back.labels.scale == (2.0, 1.0, 1.0)
    with pytest.raises(InputError, match="stack"):
        write_objects(tmp_path / "a.png", objects)


def test_pycocotools_reads_every_object(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    objects = some_objects()
    write_objects(tmp_path / "a.json", objects)
    found = coco.COCO(tmp_path / "a.json")
    seen = []
    for entry in found.dataset["annotations"]:
        mask = found.annToMask(entry) > 0
        rows, columns = np.nonzero(mask)
        assert entry["area"] == mask.sum()
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert entry["bbox"] == box
        if entry["iscrowd"]:
            np.testing.assert_array_equal(mask, objects.labels.labels == 255)
        else:
            seen.append(entry["id"])
            np.testing.assert_array_equal(mask, objects.ids == entry["id"])
            assert entry["category_id"] == objects.class_of[entry["id"]]
    assert seen == [1, 7, 12, 300, 60000]


def test_ome_zarr_reads_ids_and_classes(tmp_path: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    objects = some_objects()
    write_objects(tmp_path / "a.zarr", objects)
    node = next(iter(reader.Reader(parse_url(tmp_path / "a.zarr" / "labels" / "objects"))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), objects.ids)
    entries = json.loads((tmp_path / "a.zarr/labels/objects/.zattrs").read_text())["image-label"]
    classes = {entry["label-value"]: entry["class-id"] for entry in entries["properties"]}
    assert classes == objects.class_of


def test_a_yolo_line_an_object(tmp_path: Path) -> None:
    write_objects(tmp_path / "a.txt", some_objects(unlabelled=False))
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "2", "0", "2", "0"]


def test_ids_of_other_programs(tmp_path: Path) -> None:
    import tifffile

    ids = some_objects().ids
    tifffile.imwrite(tmp_path / "cellpose.tif", ids.astype(np.uint16))
    Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "masks.png")
    for name in ("cellpose.tif", "masks.png"):
        back = read_objects(tmp_path / name)
        np.testing.assert_array_equal(back.ids, ids)
        assert [info.name for info in back.labels.classes] == ["object"]


def test_other_programs_read_sixteen_bits(tmp_path: Path) -> None:
    import tifffile

    objects = some_objects()
    write_objects(tmp_path / "a.tif", objects)
    write_objects(tmp_path / "a.png", objects)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].dtype == np.uint16
        np.testing.assert_array_equal(np.squeeze(file.asarray()), objects.ids)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a.png")), objects.ids)


def test_the_table_is_in_the_unit_of_the_labels(tmp_path: Path) -> None:
    objects = some_objects()
    write_objects(tmp_path / "a.csv", objects)
    lines = (tmp_path / "a.csv").read_text("utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [int(row["id"]) for row in rows] == [1, 7, 12, 300, 60000]
    first = rows[1]
    assert first["class"] == objects.labels.classes[2].name
    assert float(first["area"]) == 50 * 0.5 * 0.25
    assert float(first["centroid_y"]) == 6.5 * 0.5
    assert float(first["centroid_x"]) == 17 * 0.25
    assert [float(first[f"box_{side}"]) for side in ("top", "left", "bottom", "right")] == [
        2 * 0.5,
        15 * 0.25,
        12 * 0.5,
        20 * 0.25,
    ]
    assert first["unit"] == "micrometer"


@pytest.mark.parametrize("ending", [*ENDINGS, ".csv"])
def test_nothing_is_replaced_unasked(tmp_path: Path, ending: str) -> None:
    write_objects(tmp_path / f"a{ending}", some_objects())
    with pytest.raises(InputError, match="already there"):
        write_objects(tmp_path / f"a{ending}", some_objects())
    write_objects(tmp_path / f"a{ending}", some_objects(), overwrite=True)


@pytest.mark.parametrize("ending", [".png", ".txt", ".json"])
def test_json_of_others_is_kept_whatever_is_asked(tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="choose another name"):
        write_objects(tmp_path / f"a{ending}", some_objects(), overwrite=True)
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'


def test_too_many_ids_for_sixteen_bits(tmp_path: Path) -> None:
    ids = np.full((4, 4), 70000, np.int32)
    objects = ObjectImage(ids, LabelImage(np.ones((4, 4), np.uint8), parse_classes("cat")))
    for ending in (".png", ".tif"):
        with pytest.raises(InputError, match="65535"):
            write_objects(tmp_path / f"a{ending}", objects)
    write_objects(tmp_path / "a.json", objects)
    assert read_objects(tmp_path / "a.json").ids.max() == 70000


@pytest.mark.parametrize(
    ("key", "value"),
    [("objects", {"1": 99}), ("objects", []), ("version", 9), ("format", "x"), ("about", {})],
)
def test_a_broken_description_is_refused(tmp_path: Path, key: str, value: object) -> None:
    from napari_wildseg.io.objects.object_image import described_objects

    about = some_objects().about() | {key: value}
    with pytest.raises(InputError):
        described_objects(some_objects().ids, about, "a.json")
