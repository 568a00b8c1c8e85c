"""Files of ours opened by the tools people use, and files of theirs opened by us."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from pycocotools.coco import COCO

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import COCODataSet, LabelImage, VOCDataSet, read_labels, write_labels
from napari_wildseg.io.formats import coco, ome_zarr, yolo


@pytest.fixture
def labels():
    """Two classes; the cat has a hole and two parts, and some pixels are unlabelled."""
    values = np.zeros((40, 60), np.uint8)
    values[4:20, 5:25] = 1
    values[8:12, 10:15] = 0
    values[30:36, 2:9] = 1
    values[10:30, 30:55] = 4
    values[0] = 255
    classes = (
        ClassInfo(1, "cat", ("cat",), (230, 10, 20)),
        ClassInfo(4, "größe", ("size",), (5, 200, 90)),
    )
    return LabelImage(values, classes, scale=(0.5, 0.25), units="micrometer", image="photo")


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


@pytest.mark.parametrize("segmentation", ["rle", "polygon"])
def test_pycocotools_gives_the_labels_back(tmp_path, labels, segmentation, capsys):
    path = tmp_path / "x.json"
    coco.write(path, labels, segmentation=segmentation)
    opened = COCO(str(path))
    found = np.zeros_like(labels.labels)
    for annotation in opened.loadAnns(opened.getAnnIds()):
        mask = opened.annToMask(annotation).astype(bool)
        assert mask.sum() == annotation["area"]
        left, top, width, height = annotation["bbox"]
        rows, columns = np.nonzero(mask)
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        found[mask] = annotation["category_id"]
    assert (found == labels.labels).all()
    names = {c["id"]: c["name"] for c in opened.loadCats(opened.getCatIds())}
    assert names == {1: "cat", 4: "größe", 255: "unlabelled"}
    crowds = [a["iscrowd"] for a in opened.loadAnns(opened.getAnnIds(catIds=[255]))]
    assert crowds == [1]


def test_coco_instances(tmp_path, labels):
    counts = {}
    for instances in ("component", "class"):
        coco.write(tmp_path / f"{instances}.json", labels, instances=instances)
        content = json.loads((tmp_path / f"{instances}.json").read_text("utf-8"))
        counts[instances] = sum(a["category_id"] == 1 for a in content["annotations"])
        assert (coco.read(tmp_path / f"{instances}.json").labels == labels.labels).all()
    assert counts == {"component": 2, "class": 1}
    with pytest.raises(InputError, match="not"):
        coco.write(tmp_path / "x.json", labels, instances="some")
    with pytest.raises(InputError, match="not"):
        coco.write(tmp_path / "x.json", labels, segmentation="some")


def test_coco_of_others_with_several_images(tmp_path):
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": 10, "width": 12},
            {"id": 9, "file_name": "sub/b.jpg", "height": 10, "width": 12},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [
            {"image_id": 7, "category_id": 18, "segmentation": [[2, 3, 8, 3, 8, 7, 2, 7]]},
            {
                "image_id": 9,
                "category_id": 90,
                "iscrowd": 1,
                "segmentation": {"size": [10, 12], "counts": [10, 10, 100]},
            },
        ],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="2 images"):
        read_labels(tmp_path / "x.json")
    found = read_labels(tmp_path / "x.json", image="a")
    assert (found.labels[3:7, 2:8] == 18).all()
    assert (found.labels == 18).sum() == 24
    assert [info.name for info in found.classes] == ["dog", "toothbrush"]
    found = read_labels(tmp_path / "x.json", image="b")
    assert (found.labels[:, 1] == 90).all()
    assert (found.labels == 90).sum() == 10


def test_voc_data_set_opens_in_torchvision(tmp_path, labels, picture):
    from torchvision.datasets import VOCSegmentation

    data = VOCDataSet(tmp_path / "voc")
    data.add("one", picture, labels)
    other = LabelImage(
        np.where(labels.labels == 4, 2, 0).astype(np.uint8),
        (ClassInfo(2, "dog", ("dog",), (9, 9, 9)),),
    )
    VOCDataSet(tmp_path / "voc").add("two", picture, other)
    VOCDataSet(tmp_path / "voc").add("three", picture, other, split="val")
    opened = VOCSegmentation(str(tmp_path / "voc"), year="2012", image_set="train")
    assert len(opened) == 2
    assert len(VOCSegmentation(str(tmp_path / "voc"), year="2012", image_set="val")) == 1
    image, mask = opened[0]
    assert np.abs(np.asarray(image).astype(int) - picture).mean() < 12  # JPEG
    names = [info.name for info in VOCDataSet(tmp_path / "voc").classes]
    assert names == ["cat", "größe", "dog"]
    values = np.asarray(mask)
    assert (values[labels.labels == 1] == 1).all()
    assert (values[labels.labels == 4] == 2).all()
    assert (values[labels.labels == 255] == 255).all()
    assert (np.asarray(opened[1][1])[labels.labels == 4] == 3).all()
    assert mask.getpalette()[3:6] == [230, 10, 20]
    with pytest.raises(InputError, match="already there"):
        data.add("one", picture, labels)
    data.add("one", picture, labels, overwrite=True)
    assert len(VOCSegmentation(str(tmp_path / "voc"), year="2012", image_set="train")) == 2


def test_coco_data_set_opens_in_torchvision(tmp_path, labels, picture, capsys):
    from torchvision.datasets import CocoDetection

    COCODataSet(tmp_path / "c").add("one", picture, labels)
    other = LabelImage(
        np.where(labels.labels == 4, 2, 0).astype(np.uint8),
        (ClassInfo(2, "dog", ("dog",), (9, 9, 9)),),
    )
    data = COCODataSet(tmp_path / "c")
    data.add("two", picture, other)
    data.add("two", picture, other, overwrite=True)
    with pytest.raises(InputError, match="already there"):
        data.add("one", picture, labels)
    opened = CocoDetection(
        str(tmp_path / "c" / "train"), str(tmp_path / "c/annotations/instances_train.json")
    )
    assert len(opened) == 2
    image, targets = opened[0]
    assert (np.asarray(image) == picture).all()
    found = np.zeros((40, 60), np.uint8)
    for target in targets:
        found[opened.coco.annToMask(target).astype(bool)] = target["category_id"]
    assert (found[labels.labels == 1] == 1).all()
    assert (found[labels.labels == 4] == 2).all()
    (target,) = opened[1][1]
    assert target["category_id"] == 3
    ids = [a["id"] for a in opened.coco.loadAnns(opened.coco.getAnnIds())]
    assert len(set(ids)) == len(ids)
    assert [info.name for info in COCODataSet(tmp_path / "c").classes] == ["cat", "größe", "dog"]


@pytest.mark.parametrize("layout", [VOCDataSet, COCODataSet])
def test_labels_come_back_from_data_sets(tmp_path, labels, picture, layout):
    data = layout(tmp_path)
    data.add("größe 1", picture, labels)
    data.add("b.c", picture, labels.with_labels(labels.labels[::-1].copy()))
    found = layout(tmp_path)
    assert found.stems() == ["größe 1", "b.c"]
    assert found.stems("val") == []
    back = found.read("b.c")
    table = {info.name: info.id for info in back.classes}
    for info in labels.classes:
        expected = labels.labels[::-1] == info.id
        assert ((back.labels == table[info.name]) == expected).all()
        colour = next(c.colour for c in back.classes if c.name == info.name)
        assert colour == info.colour
    assert ((back.labels == 255) == (labels.labels[::-1] == 255)).all()
    with pytest.raises(InputError):
        found.read("../b")


@pytest.mark.parametrize("layout", [VOCDataSet, COCODataSet])
def test_names_that_look_like_syntax_keep_their_ids(tmp_path, picture, layout):
    names = ["cat", "#1 mug", "a:1,2,3::", "background", "null", "black\n cat", "dog"]
    classes = tuple(ClassInfo(n, name, ("x",), (n, n, n)) for n, name in enumerate(names, 1))
    values = np.zeros(picture.shape[:2], np.uint8)
    values[0, : len(names)] = range(1, len(names) + 1)
    layout(tmp_path).add("one", picture, LabelImage(values, classes))
    again = layout(tmp_path)
    again.add("two", picture, LabelImage(values, classes))
    names[5] = "black cat"
    assert [(info.id, info.name) for info in again.classes] == list(enumerate(names, 1))
    assert (again.read("two").labels == values).all()


def test_napari_opens_the_tiff_itself(tmp_path, labels):
    from napari_builtins.io import napari_get_reader

    write_labels(tmp_path / "x.tif", labels)
    [(data, *_)] = napari_get_reader(str(tmp_path / "x.tif"))(str(tmp_path / "x.tif"))
    assert (np.asarray(data) == labels.labels).all()


@pytest.mark.parametrize("layout", [VOCDataSet, COCODataSet])
def test_data_sets_refuse_what_cannot_be(tmp_path, labels, picture, layout):
    data = layout(tmp_path / "d")
    for stem in ("", "a/b", "..", "a\nb"):
        with pytest.raises(InputError, match="file's name"):
            data.add(stem, picture, labels)
    with pytest.raises(InputError, match="split"):
        data.add("x", picture, labels, split="some")
    with pytest.raises(InputError, match="wanted"):
        data.add("x", picture[1:], labels)
    many = LabelImage(
        np.zeros((40, 60), np.uint8),
        tuple(ClassInfo(n, f"n{n}", ("x",), (0, 0, 0)) for n in range(1, 255)),
    )
    data.add("full", picture, many)
    with pytest.raises(InputError, match="more than 254"):
        data.add("x", picture, labels)


def test_imagej_fields_of_the_tiff(tmp_path, labels):
    write_labels(tmp_path / "x.tif", labels)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert file.is_imagej
        assert (file.asarray() == labels.labels).all()
        assert file.imagej_metadata["unit"] == "micrometer"
        lut = np.reshape(file.imagej_metadata["LUTs"], (3, 256))
        assert lut[:, 1].tolist() == [230, 10, 20]
        assert file.pages.first.get_resolution() == pytest.approx((4, 2))


def test_tiffs_of_others_keep_their_scale(tmp_path):
    values = np.eye(6, dtype=np.uint16)
    path = tmp_path / "x.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}
    metadata |= {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, values, ome=True, metadata=metadata)
    found = read_labels(path)
    assert found.scale == pytest.approx((0.5, 0.25))
    assert found.units == "micrometer"
    assert [info.name for info in found.classes] == ["class 1"]
    tifffile.imwrite(
        path, values, imagej=True, resolution=(4, 2), metadata={"axes": "YX", "unit": "um"}
    )
    assert read_labels(path).scale == pytest.approx((0.5, 0.25))
    tifffile.imwrite(path, values.astype(np.int32))
    assert read_labels(path).scale == (1, 1)
    tifffile.imwrite(path, np.zeros((6, 6, 3), np.uint8))
    with pytest.raises(InputError, match="colours, channels or several"):
        read_labels(path)


def test_zarr_opens_ome_labels(tmp_path, labels, picture):
    path = tmp_path / "x.zarr"
    ome_zarr.write(path, labels, picture=picture)
    root = zarr.open_group(path, mode="r")
    assert (root["labels/wildseg/0"][...] == labels.labels).all()
    assert (np.moveaxis(root["0"][...], 0, -1) == picture).all()
    about = root["labels/wildseg"].attrs["image-label"]
    assert about["colors"][0] == {"label-value": 1, "rgba": [230, 10, 20, 255]}
    assert about["properties"][1]["class"] == "größe"
    assert about["source"] == {"image": "../../"}
    (scale,) = root["labels/wildseg"].attrs["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ]
    assert scale == {"type": "scale", "scale": [0.5, 0.25]}
    assert (read_labels(path / "labels/wildseg", format="ome-zarr").labels == labels.labels).all()
    assert (read_labels(path / "labels", format="ome-zarr").labels == labels.labels).all()


def test_large_ome_labels_have_levels(tmp_path):
    values = np.zeros((2100, 1500), np.uint8)
    values[500:1500, 500:1000] = 3
    write_labels(tmp_path / "x.zarr", LabelImage.from_array(values))
    group = zarr.open_group(tmp_path / "x.zarr" / "labels/wildseg", mode="r")
    shapes = [group[name].shape for name in ("0", "1", "2")]
    assert shapes == [(2100, 1500), (1050, 750), (525, 375)]
    assert (group["2"][...] == values[::4, ::4]).all()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_labels_of_others(tmp_path, zarr_format):
    """NGFF 0.4 and 0.5, without our own attribute."""
    values = np.zeros((1, 20, 30), np.int32)
    values[0, 5:9] = 2
    root = zarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=zarr_format)
    array = root.create_array("s0", shape=values.shape, chunks=(1, 20, 30), dtype=values.dtype)
    array[...] = values
    ome = {
        "multiscales": [
            {
                "axes": [{"name": "z"}, {"name": "y"}, {"name": "x", "unit": "micrometer"}],
                "datasets": [
                    {
                        "path": "s0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.25]}],
                    }
                ],
            }
        ],
        "image-label": {
            "colors": [{"label-value": 2, "rgba": [1, 2, 3, 255]}],
            "properties": [{"label-value": 2, "class": "cell"}],
        },
    }
    root.attrs.update(ome if zarr_format == 2 else {"ome": ome})
    found = read_labels(tmp_path / "x.zarr")
    assert (found.labels == values[0]).all()
    assert found.scale == (0.5, 0.25)
    assert found.units == "micrometer"
    assert found.classes == (ClassInfo(2, "cell", ("cell",), (1, 2, 3)),)


@pytest.mark.parametrize(
    "change",
    [
        {"filters": [{"id": "pickle"}]},
        {"compressor": {"id": "pickle"}},
        {"compressor": {"id": "lzma"}},
        {"dtype": "|O"},
        {"dtype": "<f4"},
        {"shape": [10**9, 10**9]},
        {"shape": [5, 40, 60, 2, 2, 2], "chunks": [1, 40, 60, 1, 1, 1]},
        {"shape": [10**6, 40, 60], "chunks": [1, 40, 60]},
        {"chunks": [10**6, 10**6]},
        {"chunks": [0, 1]},
        {"shape": "all"},
    ],
)
def test_unusual_zarr_arrays_are_refused_unread(tmp_path, labels, change):
    write_labels(tmp_path / "x.zarr", labels)
    path = tmp_path / "x.zarr/labels/wildseg/0/.zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError):
        read_labels(tmp_path / "x.zarr")


def test_zarr_paths_stay_inside(tmp_path, labels):
    write_labels(tmp_path / "x.zarr", labels)
    path = tmp_path / "x.zarr/labels/.zattrs"
    for name in ("../../secret", "/etc", "", 5):
        path.write_text(json.dumps({"labels": [name]}))
        with pytest.raises(InputError):
            read_labels(tmp_path / "x.zarr")


def test_yolo_lines(tmp_path):
    values = np.zeros((10, 20), np.uint8)
    values[2:4, 5:10] = 3
    write_labels(tmp_path / "x.txt", LabelImage.from_array(values))
    (line,) = (tmp_path / "x.txt").read_text().splitlines()
    fields = line.split()
    assert fields[0] == "2"
    corners = np.array(fields[1:], float).reshape(-1, 2)
    assert corners.min(axis=0) == pytest.approx([0.25, 0.2])
    assert corners.max(axis=0) == pytest.approx([0.5, 0.4])


def test_yolo_of_others_takes_the_size_of_the_picture(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    path = tmp_path / "labels" / "x.txt"
    path.write_text("0 0.25 0.2 0.5 0.2 0.5 0.4 0.25 0.4\n\n4 0 0.9 1 0.9 1 1 0 1\n")
    with pytest.raises(InputError, match="size of its picture"):
        read_labels(path)
    Image.new("RGB", (20, 10)).save(tmp_path / "images" / "x.jpg")
    found = read_labels(path)
    assert (found.labels[2:4, 5:10] == 1).all()
    assert (found.labels[9] == 5).all()
    assert found.labels.astype(bool).sum() == 30
    assert (yolo.read(path, size=(10, 20)).labels == found.labels).all()
    path.write_text("")
    assert not read_labels(path).labels.any()


@pytest.mark.parametrize(
    "line", ["x 0 0 1 1 1 0", "0 0 0 1 1", "0 0 0 1 1 1", "300 0 0 1 1 1 0", "0 0 0 nan 1 1 0"]
)
def test_broken_yolo_lines_are_refused(tmp_path, line):
    (tmp_path / "x.txt").write_text(line)
    with pytest.raises(InputError, match="line 1"):
        yolo.read(tmp_path / "x.txt", size=(5, 5))
