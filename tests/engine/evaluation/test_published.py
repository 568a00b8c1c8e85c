"""PASCAL VOC and COCO as they are distributed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.cli.main import main
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import voc_palette
from napari_wildseg.evaluation import open_set
from napari_wildseg.io import COCODataSet, LabelImage, VOCDataSet

HEIGHT, WIDTH = 40, 60


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def voc(tmp_path):
    """Two images, one of them in the list; masks have VOC's palette and its 255 border."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / part).mkdir(parents=True)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:30, 5:30], mask[4, 5:30], mask[20:30, 40:55] = 8, 255, 15
    for stem in ("2007_000033", "2007_000042"):
        Image.fromarray(picture()).save(base / "JPEGImages" / f"{stem}.jpg")
        indexed = Image.fromarray(mask)
        indexed.putpalette(voc_palette().ravel().tolist())
        indexed.save(base / "SegmentationClass" / f"{stem}.png")
    (base / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n")
    return base, mask


@pytest.mark.parametrize("above", [0, 1, 2])
def test_voc_from_its_folder_or_one_above(voc, above):
    base, mask = voc
    folder = (base, base.parent, base.parent.parent)[above]
    data = open_set(folder)
    (item,) = data.items
    assert item.stem == "2007_000033"
    assert not data.per_image
    assert (item.mask() == mask).all()
    assert [(c.id, c.name) for c in item.known(mask)] == [(8, "cat"), (15, "person")]
    assert len(data.vocabulary) == 20
    assert item.image().shape == (HEIGHT, WIDTH, 3)


@pytest.fixture
def coco(tmp_path):
    """A polygon, run lengths as a list and as a string, a crowd, and an image without any."""
    from pycocotools import mask as coco_mask

    root = tmp_path / "coco"
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    for stem in ("000000000139", "000000000285"):
        Image.fromarray(picture()).save(root / "val2017" / f"{stem}.jpg")
    large = np.zeros((HEIGHT, WIDTH), np.uint8)
    large[10:30, 10:50] = 1
    small = np.zeros((HEIGHT, WIDTH), np.uint8)
    small[15:20, 20:30] = 1
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8)
    crowd[32:40, 0:40] = 1
    runs = np.diff(np.flatnonzero(np.diff(crowd.ravel("F"), prepend=0, append=0)))
    counts = [32, *runs.tolist()]
    counts.append(HEIGHT * WIDTH - sum(counts))
    compressed = coco_mask.encode(np.asfortranarray(large))
    compressed["counts"] = compressed["counts"].decode()
    shape = {"id": 139, "file_name": "000000000139.jpg", "height": HEIGHT, "width": WIDTH}
    content = {
        "images": [shape, {**shape, "id": 285, "file_name": "000000000285.jpg"}],
        "categories": [
            {"id": 90, "name": "toothbrush"},
            {"id": 1, "name": "person"},
            {"id": 17, "name": "cat"},
        ],
        "annotations": [
            # The small one comes first, and must yet be on top.
            {"id": 1, "image_id": 139, "category_id": 17, "iscrowd": 0,
             "segmentation": [[20, 15, 30, 15, 30, 20, 20, 20]]},
            {"id": 2, "image_id": 139, "category_id": 90, "iscrowd": 0, "segmentation": compressed},
            {"id": 3, "image_id": 139, "category_id": 1, "iscrowd": 1,
             "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}},
        ],
    }  # fmt: skip
    expected = np.where(crowd, 1, np.where(small, 2, np.where(large, 3, 0))).astype(np.uint8)
    listing = root / "annotations" / "instances_val2017.json"
    listing.write_text(json.dumps(content))
    return root, content, listing, expected


def test_coco(coco):
    root, _, _, expected = coco
    (item,) = open_set(root).items
    assert item.stem == "000000000139"
    assert (item.mask() == expected).all()
    assert item.names == {1: "person", 2: "cat", 3: "toothbrush"}
    assert item.image().shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("outline", "said"),
    [
        ([[1, 2, 3, 4]], "three points"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "do not fill"),
        ({"size": [9, 9], "counts": "abc"}, "size"),
        (None, "size"),
    ],
)
def test_damaged_segmentations_are_refused(coco, outline, said):
    root, content, listing, _ = coco
    content["annotations"][1]["segmentation"] = outline
    listing.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"annotation 2 of 000000000139 cannot be read.*{said}"):
        open_set(root).items[0].mask()


@pytest.mark.parametrize(
    "change",
    [
        {"images": 3},
        {"annotations": [{"image_id": 1}]},
        {"annotations": []},
        {"images": [{"id": 139, "file_name": "../../etc/x.jpg", "height": 4, "width": 4}]},
        {"images": [{"id": 139, "file_name": "a.jpg"}]},
    ],
)
def test_damaged_annotations_are_refused(coco, change):
    root, content, listing, _ = coco
    listing.write_text(json.dumps({**content, **change}))
    with pytest.raises(InputError, match="instances_val2017"):
        open_set(root)
    listing.write_text("{")
    with pytest.raises(InputError, match="not COCO's"):
        open_set(root)


def test_what_is_missing_is_said(voc, coco, tmp_path):
    base, _ = voc
    with pytest.raises(InputError, match='"train": choose from val'):
        open_set(base, "train")
    (base / "SegmentationClass" / "2007_000033.png").unlink()
    with pytest.raises(InputError, match="lists 2007_000033, but there is no"):
        open_set(base)
    (base / "ImageSets/Segmentation/val.txt").write_text("../x\n")
    with pytest.raises(InputError, match="no image of this set"):
        open_set(base)
    (base / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(InputError, match="no image that could be measured"):
        open_set(base)
    root, *_ = coco
    with pytest.raises(InputError, match="no annotations/instances_train.json"):
        open_set(root, "train")
    (root / "val2017").rename(root / "elsewhere")
    with pytest.raises(InputError, match="no folder val"):
        open_set(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no folder images"):
        open_set(tmp_path / "empty")


@pytest.mark.parametrize("kind", [VOCDataSet, COCODataSet])
def test_our_own_data_sets_can_be_measured_on(kind, tmp_path):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[5:20, 5:20], labels[25:35, 30:50], labels[:, -3:] = 1, 2, 255
    made = LabelImage.from_array(labels, parse_classes("okapi, black swan"))
    kind(tmp_path / "set").add("one", picture(), made, split="val")
    (item,) = open_set(tmp_path / "set").items
    assert (item.mask() == labels).all()
    assert item.names == {1: "okapi", 2: "black swan"}


def test_from_the_terminal(voc, capsys):
    base, _ = voc
    command = ["evaluate", str(base.parent.parent), "--views", "single", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 1
    assert set(found["per_class"]) == {"background", "cat", "person"}
    assert main([*command, "--split", "trainval"]) == 2
