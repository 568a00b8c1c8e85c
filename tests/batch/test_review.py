"""The review queue: the most uncertain image first, corrections kept and exported."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain

from .conftest import contents, write_pictures

FORMATS = ("png", "voc", "coco", "tiff", "ome-zarr", "npz", "yolo")


@pytest.fixture
def batch(tmp_path, settings):
    """Four pictures, one of them broken."""
    write_pictures(tmp_path / "pictures", 4, broken=1)
    return Batch(str(tmp_path / "pictures"), "cat, dog", tmp_path / "out", settings=settings)


@pytest.mark.parametrize("format", FORMATS)
def test_corrections_go_into_the_data_set_and_come_back(batch, format):
    batch = replace(batch, format=format)
    report = drain(batch_steps(batch))
    queue = ReviewQueue(batch.folder)
    assert queue.records == report.review
    item = queue.open(0)
    assert item.labels.labels.shape == item.rgb.shape[:2] == item.record.size
    assert [info.name for info in item.labels.classes] == ["cat", "dog"]
    corrections = np.full(item.record.size, -1, np.int16)
    corrections[:5, :5] = 2
    labels = item.labels.labels.copy()
    labels[:5, :5] = 2
    queue.save(item, replace(item.labels, labels=labels, corrections=corrections))
    queue.mark(item.record.name)
    queue.publish()
    again = ReviewQueue(batch.folder)
    assert again.reviewed == {item.record.name}
    assert again.first_left() == 1
    assert [r.name for r in again.records] == [r.name for r in report.review]
    back = again.open(0)
    assert (back.labels.labels == labels).all()
    assert (back.labels.corrections == corrections).all()
    assert back.record.classes[2] == np.count_nonzero(labels == 2)
    before = contents(batch.folder)
    drain(batch_steps(replace(batch, resume=True)))
    after = contents(batch.folder)
    assert {k: v for k, v in after.items() if "journal" not in k} == {
        k: v for k, v in before.items() if "journal" not in k
    }


def test_a_class_found_in_review_joins_the_set(batch):
    batch = replace(batch, format="coco")
    drain(batch_steps(batch))
    queue = ReviewQueue(batch.folder)
    item = queue.open(1)
    # The annotator's list has other ids than the set's; names count.
    classes = (ClassInfo(1, "dog", ("dog",), (1, 2, 3)), ClassInfo(2, "cow", ("cow",), (4, 5, 6)))
    labels = np.zeros(item.record.size, np.uint8)
    labels[2], labels[5] = 1, 2
    corrections = np.where(labels, labels.astype(np.int16), np.int16(-1))
    changed = replace(item.labels, labels=labels, classes=classes, corrections=corrections)
    queue.save(item, changed)
    queue.publish()
    found = json.loads((batch.folder / "annotations" / "instances_train.json").read_text())
    assert [entry["name"] for entry in found["categories"]] == ["cat", "dog", "cow"]
    back = ReviewQueue(batch.folder).open(1).labels
    assert set(np.unique(back.labels[2])) == {2}
    assert set(np.unique(back.corrections[5])) == {3}
    report = drain(batch_steps(replace(batch, resume=True)))
    assert [info.name for info in report.classes] == ["cat", "dog", "cow"]


def test_it_says_what_is_wrong(batch, tmp_path):
    with pytest.raises(InputError, match="finished batch"):
        ReviewQueue(tmp_path)
    report = drain(batch_steps(batch))
    (batch.folder / f"{report.review[0].name}.png").unlink()
    queue = ReviewQueue(batch.folder)
    with pytest.raises(InputError, match="There is no file"):
        queue.open(0)
    (batch.folder / "report.json").write_text('{"format": "napari-wildseg batch report"}')
    with pytest.raises(InputError, match=r"later|damaged"):
        ReviewQueue(batch.folder)
