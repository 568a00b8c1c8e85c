"""Label files of other programs: what they mean is read, or what is unclear is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import read_picture, upright
from napari_wildseg.io import COCODataSet, LabelImage, read_labels, write_labels
from napari_wildseg.io.corrections_file import read_corrections
from napari_wildseg.io.formats.coco import annotations_of
from napari_wildseg.io.lazy import open_lazily
from napari_wildseg.io.masks.polygons import components

SQUARE = [3, 2, 9, 2, 9, 6, 3, 6]


def mask(value: int = 255, dtype: Any = np.uint8) -> np.ndarray:
    """Return an object of one value, off the middle."""
    values = np.zeros((24, 32), dtype)
    values[2:8, 2:10] = value
    return values


# -- 255 ---------------------------------------------------------------------------------------


def written(folder: Path, ending: str, values: np.ndarray) -> Path:
    """Write a mask as other programs do."""
    path = folder / f"m{ending}"
    if ending == ".png":
        Image.fromarray(values).save(path)
    elif ending == ".tif":
        tifffile.imwrite(path, values)
    elif ending == ".npz":
        np.savez(path, labels=values)
    else:
        ngff(path, values)
    return path


@pytest.mark.parametrize("ending", [".png", ".tif", ".npz", ".zarr"])
def test_a_mask_of_0_and_255_has_to_be_told(tmp_path: Path, ending: str):
    """Neither reading is silent: the sentence names both, and each can be had."""
    path = written(tmp_path, ending, mask())
    with pytest.raises(InputError, match=r"255 means unlabelled.*--value-255 class"):
        read_labels(path)
    assert np.unique(read_labels(path, value_255="unlabelled").labels).tolist() == [0, 255]
    found = read_labels(path, value_255="class")
    np.testing.assert_array_equal(found.labels, mask(1))
    assert [info.id for info in found.classes] == [1]
    assert found.notices == ()
    guessed = read_labels(path, value_255="guess")
    np.testing.assert_array_equal(guessed.labels, mask(1))
    assert "was read as class 1" in guessed.notices[0]


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_white_of_sixteen_bits_is_255(tmp_path: Path, ending: str):
    """0 and 65535 is the same mask in 16 bits."""
    path = written(tmp_path, ending, mask(65535, np.uint16))
    with pytest.raises(InputError, match="0 and 65535"):
        read_labels(path)
    np.testing.assert_array_equal(read_labels(path, value_255="class").labels, mask(1))


def test_255_beside_other_classes_is_as_ever(tmp_path: Path):
    """With other values 255 is unlabelled; as a class it takes id 1, where that is free."""
    values = mask()
    values[20] = 7
    path = written(tmp_path, ".png", values)
    assert set(np.unique(read_labels(path).labels)) == {0, 7, 255}
    assert set(np.unique(read_labels(path, value_255="class").labels)) == {0, 1, 7}
    values[21] = 1
    with pytest.raises(InputError, match="class 1 already"):
        read_labels(written(tmp_path, ".png", values), value_255="class")


def test_our_own_files_say_what_255_is(tmp_path: Path):
    """A description of ours is believed; it cannot be read otherwise."""
    write_labels(tmp_path / "own.png", LabelImage.from_array(mask()))
    assert read_labels(tmp_path / "own.png").labels.max() == 255
    with pytest.raises(InputError, match="says that 255 is unlabelled"):
        read_labels(tmp_path / "own.png", value_255="class")
    (tmp_path / "p.txt").write_text("")
    with pytest.raises(InputError, match="no pixel of 255"):
        read_labels(tmp_path / "p.txt", value_255="class")


# -- orientation -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_as_their_pictures_are(tmp_path: Path, ending: str, orientation: int):
    """Whatever EXIF or TIFF says of both, mask and photograph lie over each other."""
    path = tmp_path / f"m{ending}"
    if ending == ".png":
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(mask(1)).save(path, exif=exif)
    else:
        Image.fromarray(mask(1)).save(path, tiffinfo={274: orientation})
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels, read_picture(path))
    np.testing.assert_array_equal(found.labels, upright(mask(1), orientation))
    np.testing.assert_array_equal(read_labels(path, turn=False).labels, mask(1))


def test_corrections_and_pixel_sizes_turn_along(tmp_path: Path):
    """Corrections in a turned PNG, and the two pixel sizes, are turned like the labels."""
    exif = Image.Exif()
    exif[274] = 6
    values = np.full((24, 32), 65535, np.uint16)
    values[2:8, 2:10] = 1
    Image.fromarray(values).save(tmp_path / "c.png", exif=exif)
    turned = read_corrections(tmp_path / "c.png", (32, 24))
    np.testing.assert_array_equal(turned >= 0, upright(mask(1) > 0, 6))
    corrections = np.where(mask(1) > 0, 1, -1).astype(np.int16)
    own = LabelImage.from_array(mask(1), scale=(2, 3), units="micrometer", corrections=corrections)
    write_labels(tmp_path / "own.png", own)
    Image.open(tmp_path / "own.png").save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "own.json").rename(tmp_path / "turned.json")
    found = read_labels(tmp_path / "turned.png")
    assert found.scale == (3, 2)
    np.testing.assert_array_equal(found.labels, upright(mask(1), 6))
    assert found.corrections is not None
    np.testing.assert_array_equal(found.corrections >= 0, found.labels == 1)


# -- another program's JSON --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ['{"version": "5.4.1", "shapes": [], "imagePath": "a.jpg"}', "[1, 2]", '{"a": NaN}', "{", ""],
)
@pytest.mark.parametrize("ending", [".png", ".txt"])
def test_json_of_another_program_is_left_out_with_a_notice(tmp_path: Path, text: str, ending: str):
    """labelme's JSON, a list, and what is no JSON at all do not make a mask unreadable."""
    (tmp_path / "a.json").write_text(text)
    Image.fromarray(mask(3)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("2 0.1 0.1 0.5 0.1 0.5 0.5\n")
    found = read_labels(tmp_path / f"a{ending}")
    assert [info.id for info in found.classes] == [3]
    assert "a.json was written by another program" in found.notices[0]


# -- COCO --------------------------------------------------------------------------------------


def coco(path: Path, *annotations: dict[str, Any], **more: Any) -> Path:
    """Write a COCO file of one image."""
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 12, "width": 16}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [entry | {"id": n} | a for n, a in enumerate(annotations, start=1)],
    }
    path.write_text(json.dumps(content | more))
    return path


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"segmentation": []}, "annotation 2: its segmentation is empty"),
        ({"segmentation": None}, "annotation 2: it has no segmentation"),
        ({"segmentation": [[3, 2, 9, 6]]}, "annotation 2: no polygon of it"),
        ({"segmentation": [SQUARE, [5, 5]]}, "annotation 2: a polygon of it"),
        ({"segmentation": [["x"] * 6]}, "annotation 2: a polygon has corners"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "annotation 2: its mask has another"),
        ({"category_id": 9}, "annotation 2: its category"),
    ],
)
def test_good_annotations_are_read_and_the_others_named(tmp_path: Path, annotation, words):
    """One bad annotation among good ones is named, and takes nothing with it."""
    found = read_labels(coco(tmp_path / "a.json", {}, annotation))
    assert (found.labels == 1).sum() == 24
    assert words in found.notices[0]


@pytest.mark.parametrize("segmentation", [[], None, [[3, 2, 9, 6]]])
def test_nothing_but_bad_annotations_is_no_empty_image(tmp_path: Path, segmentation):
    """A file of boxes alone is refused: all background would be a wrong mask without a word."""
    with pytest.raises(InputError, match="annotation 1"):
        read_labels(coco(tmp_path / "a.json", {"segmentation": segmentation}))


@pytest.mark.parametrize(
    ("ids", "used", "value"), [((0, 1), 0, 1), ((0, 7), 7, 7), ((3, 1001), 1001, 2)]
)
def test_category_ids_that_are_no_labels(tmp_path: Path, ids, used, value):
    """0 in use, or beyond 254: numbered anew, with a notice. An unused parent 0 is left out."""
    categories = [{"id": number, "name": f"n{number}"} for number in ids]
    found = read_labels(coco(tmp_path / "a.json", {"category_id": used}, categories=categories))
    assert set(np.unique(found.labels)) == {0, value}
    assert {info.id: info.name for info in found.classes}[value] == f"n{used}"
    assert bool(found.notices) == (used != 7)


@pytest.mark.parametrize(("own", "named"), [(7, "7"), ("7", 7), ("a", "a"), (7.0, 7)])
def test_image_ids_of_another_type(tmp_path: Path, own, named):
    """Ids as text and as numbers are the same."""
    images = [{"id": own, "file_name": "a.jpg", "height": "12", "width": 16.0}]
    path = coco(tmp_path / "a.json", {"image_id": named, "category_id": "1"}, images=images)
    assert (read_labels(path).labels == 1).sum() == 24


@pytest.mark.parametrize("name", ["train/a.jpg", "a.jpg", "a"])
@pytest.mark.parametrize("stored", ["train/a.jpg", "train\\a.jpg"])
def test_images_are_found_without_their_folder(tmp_path: Path, name: str, stored: str):
    """`--image a.jpg` finds train/a.jpg, on any system."""
    about = {"height": 12, "width": 16}
    images = [{"id": 1, "file_name": stored} | about, {"id": 2, "file_name": "b.jpg"} | about]
    path = coco(tmp_path / "a.json", {}, images=images)
    if name == "train/a.jpg" and "\\" in stored:
        name = stored
    assert (read_labels(path, image=name).labels == 1).sum() == 24
    assert "no annotation" in read_labels(path, image="b.jpg").notices[0]


def specks() -> LabelImage:
    """Return labels of one object, three specks beside it, and a class of specks alone."""
    values = np.zeros((40, 40), np.uint8)
    values[5:15, 5:15] = 1
    values[2, 2] = values[18, 18] = values[30:32, 30] = 1
    values[0, 39] = values[39, 0] = 2
    classes = (ClassInfo(1, "a", ("a",), (1, 2, 3)), ClassInfo(2, "b", ("b",), (4, 5, 6)))
    return LabelImage(values, classes, image="woman")


@pytest.mark.parametrize("segmentation", ["rle", "polygon"])
def test_specks_join_the_nearest_instance(tmp_path: Path, segmentation: str):
    """Below the size no region is an instance; no pixel is lost."""
    labels = specks()
    assert len(list(annotations_of(labels, 1, 1, "component", "rle"))) == 6
    path = tmp_path / "a.json"
    write_labels(path, labels, min_size=5, segmentation=segmentation, file_name="woman.jpg")
    content = json.loads(path.read_text())
    assert [a["area"] for a in content["annotations"]] == [104, 2]
    assert content["images"][0]["file_name"] == "woman.jpg"
    np.testing.assert_array_equal(read_labels(path).labels, labels.labels)


def test_specks_between_two_objects_go_to_the_nearer(tmp_path: Path):
    """Each speck belongs to the object next to it, and data sets do the same."""
    values = np.zeros((10, 40), np.uint8)
    values[2:8, 2:8] = values[2:8, 30:38] = 1
    values[5, 11] = values[5, 27] = 1
    boxes = [(left, part.shape[1]) for _, left, part in components(values == 1, min_size=9)]
    assert boxes == [(2, 10), (27, 11)]
    data_set = COCODataSet(tmp_path, min_size=9)
    labels = LabelImage.from_array(values)
    data_set.add("p", np.zeros((10, 40, 3), np.uint8), labels)
    listing = json.loads((tmp_path / "annotations/instances_train.json").read_text())
    assert len(listing["annotations"]) == 2
    np.testing.assert_array_equal(data_set.read("p").labels, values)


# -- YOLO --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".Png"])
@pytest.mark.parametrize("layout", ["labels/train", "labels", "sets/labels/val/more"])
def test_yolo_finds_pictures_where_they_are_prescribed(tmp_path: Path, ending: str, layout: str):
    """images/train/p.jpg belongs to labels/train/p.txt, whatever its ending's case."""
    labels = tmp_path / layout
    pictures = tmp_path / layout.replace("labels", "images")
    labels.mkdir(parents=True)
    pictures.mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(pictures / f"p{ending}", "PNG")
    (labels / "p.txt").write_text("1.0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    assert read_labels(labels / "p.txt").labels.shape == (20, 30)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [cat, 'a: dog']\nnc: 2\n"),
        ("data.yaml", "path: ..\nnames:\n  0: cat\n  1: 'a: dog'\n"),
        ("data.yml", "names:\n- cat\n- 'a: dog'\n"),
        ("classes.txt", "cat\r\na: dog\r\n"),
    ],
)
def test_yolo_takes_names_from_the_set(tmp_path: Path, name: str, text: str):
    """The list of names may be beside the labels or above them."""
    folder = tmp_path / "labels" / "train"
    folder.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    Image.new("RGB", (30, 20)).save(folder / "p.png")
    (folder / "p.txt").write_text("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n")
    found = read_labels(folder / "p.txt")
    assert {info.id: info.name for info in found.classes} == {1: "cat", 2: "a: dog"}
    assert set(np.unique(found.labels)) == {0, 2}


@pytest.mark.parametrize("text", ["names: {a: b}", "names: 3", "names: [", "names: [[1], [2]]x"])
def test_a_broken_list_of_names_is_said(tmp_path: Path, text: str):
    """A list that cannot be read is named; nothing in it is run."""
    (tmp_path / "data.yaml").write_text(text)
    Image.new("RGB", (30, 20)).save(tmp_path / "p.png")
    (tmp_path / "p.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    with pytest.raises(InputError, match="not a list of class names"):
        read_labels(tmp_path / "p.txt")


# -- OME-Zarr ----------------------------------------------------------------------------------


def ngff(
    path: Path, values: np.ndarray, *, common: Any = None, version: int = 2, **options: Any
) -> Path:
    """Write a label image as other programs do."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    group.create_array(name="0", data=values, **options)
    steps = [{"type": "scale", "scale": [2.0, 2.0]}, {"type": "translation", "translation": [1, 3]}]
    about: dict[str, Any] = {
        "axes": [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"],
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    if common:
        about["coordinateTransformations"] = common
    if version == 2:
        group.attrs["multiscales"] = [about | {"version": "0.4"}]
        group.attrs["image-label"] = {"version": "0.4"}
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [about], "image-label": {}}
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_transformations_of_all_levels_count(tmp_path: Path, version: int):
    """Pixel size and place are those of the level, then those of all levels."""
    common = [
        {"type": "scale", "scale": [0.16, 0.5]},
        {"type": "translation", "translation": [10, 20]},
    ]
    path = ngff(tmp_path / "a.zarr", mask(1), common=common, version=version)
    found = read_labels(path)
    assert found.scale == pytest.approx((0.32, 1.0))
    assert found.translate == pytest.approx((10.16, 21.5))
    with open_lazily(path) as opened:
        assert opened.scale == pytest.approx((0.32, 1.0))


@pytest.mark.parametrize("picture", [False, True])
@pytest.mark.parametrize("where", ["start", "end"])
def test_sharded_arrays_are_read(tmp_path: Path, picture: bool, where: str):
    """What zarr 3 writes in shards is read, whole and lazily."""
    from zarr.codecs import ShardingCodec

    shards = ShardingCodec(chunk_shape=(4, 4), index_location=where)
    folder = tmp_path / "a.zarr"
    ngff(folder, mask(1), version=3)
    array = zarr.create_array(
        str(folder / "0"),
        shape=(24, 32),
        dtype=np.uint8,
        chunks=(8, 8),
        serializer=shards,
        compressors=None,
        overwrite=True,
    )
    array[...] = mask(1)
    if picture:
        with open_lazily(folder) as opened:
            np.testing.assert_array_equal(opened.levels[0][2:20, 1:30], mask(1)[2:20, 1:30])
    else:
        np.testing.assert_array_equal(read_labels(folder).labels, mask(1))


def test_one_of_several_label_images_is_chosen(tmp_path: Path):
    """Which there are is said; each is had by name and by its folder."""
    folder = tmp_path / "m.zarr"
    group = zarr.open_group(str(folder), mode="w", zarr_format=2)
    group.create_group("labels").attrs["labels"] = ["cells", "nuclei"]
    for name, value in (("cells", 1), ("nuclei", 2)):
        ngff(folder / "labels" / name, mask(value))
    with pytest.raises(InputError, match="2 label images \\(cells, nuclei\\)"):
        read_labels(folder)
    assert read_labels(folder, label="nuclei").labels.max() == 2
    assert read_labels(folder / "labels" / "cells").labels.max() == 1
    with pytest.raises(InputError, match='no label image "x"'):
        read_labels(folder, label="x")
    from napari_wildseg.gui.layer_files import read_labels_layer

    assert [meta["name"] for _, meta, _ in read_labels_layer(str(folder))] == ["cells", "nuclei"]


@pytest.mark.parametrize("bands", [2, 5])
def test_bands_are_no_columns(tmp_path: Path, bands: int):
    """A zarr array of (H, W, 2) is not taken for H planes of W x 2."""
    zarr.create_array(str(tmp_path / "a.zarr"), data=np.zeros((24, 32, bands), np.uint8))
    with pytest.raises(InputError, match="axes"):
        open_lazily(tmp_path / "a.zarr")
