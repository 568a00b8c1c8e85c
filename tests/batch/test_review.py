"""The review queue: the most uncertain image first, corrections kept and exported."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.batch.journal import Journal
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.io import read_labels

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


@pytest.fixture
def painted():
    """A function that returns an item's labels with a stripe of one class."""

    def paint(item, name, row=3):
        classes = {info.name: info for info in item.labels.classes}
        number = max(info.id for info in classes.values()) + 1
        classes.setdefault(name, ClassInfo(number, name, (name,), (7, 8, 9)))
        labels = item.labels.labels.copy()
        labels[row] = classes[name].id
        corrections = np.full(labels.shape, -1, np.int16)
        corrections[row] = classes[name].id
        own = tuple(classes.values())
        return replace(item.labels, labels=labels, classes=own, corrections=corrections)

    return paint


@pytest.mark.parametrize("format", ["png", "voc", "coco", "ome-zarr"])
def test_two_windows_that_each_add_a_class_give_them_two_ids(batch, format, painted):
    drain(batch_steps(replace(batch, format=format)))
    one, two = ReviewQueue(batch.folder), ReviewQueue(batch.folder)
    first, second = one.open(0), two.open(1)
    one.save(first, painted(first, "spoon"))
    one.publish()
    two.save(second, painted(second, "rocket"))
    two.publish()
    again = ReviewQueue(batch.folder)
    for place, name in enumerate(["spoon", "rocket"]):
        item = again.open(place)
        names = {info.id: info.name for info in item.labels.classes}
        assert {names[value] for value in item.labels.labels[3]} == {name}
        assert item.record.classes[item.labels.labels[3, 0]]
    assert [info.name for info in again.classes] == ["cat", "dog", "spoon", "rocket"]
    # What one window shows next has the names that the other added.
    assert "rocket" in {info.name for info in one.open(1).labels.classes}


def test_an_image_corrected_in_two_windows_is_not_overwritten(batch, painted):
    drain(batch_steps(batch))
    one, two = ReviewQueue(batch.folder), ReviewQueue(batch.folder)
    first, second = one.open(0), two.open(0)
    one.save(first, painted(first, "dog"))
    one.save(first, painted(first, "dog", row=5))  # it may change its mind itself
    with pytest.raises(InputError, match="corrected in another window"):
        two.save(second, painted(second, "cat"))
    assert (ReviewQueue(batch.folder).open(0).labels.labels[5] == 2).all()


def test_while_a_batch_holds_the_journal_nothing_is_written(batch, painted, monkeypatch):
    monkeypatch.setattr("napari_wildseg.batch.review_queue._WAIT", 0)
    drain(batch_steps(batch))
    queue = ReviewQueue(batch.folder)
    item = queue.open(0)
    before = contents(batch.folder)
    held = Journal(batch.folder)
    with pytest.raises(InputError, match="Another batch is writing"):
        queue.save(item, painted(item, "spoon"))
    assert queue.open(0).labels.labels.shape == item.record.size
    held.close()
    assert contents(batch.folder) == before
    queue.save(item, painted(item, "spoon"))
    found = read_labels(batch.folder / f"{item.record.name}.png")
    assert [info.name for info in found.classes] == ["cat", "dog", "spoon"]


@pytest.mark.parametrize("format", FORMATS)
def test_killed_at_any_moment_of_saving_strokes_and_names_agree(
    batch, format, painted, monkeypatch, tmp_path
):
    drain(batch_steps(replace(batch, format=format)))
    queue = ReviewQueue(batch.folder)
    item = queue.open(0)
    wanted = painted(item, "spoon")
    moments = []

    def watched(real):
        def call(path, *args, **kwargs):
            if ".zarr/" not in str(path):
                moments.append(shutil.copytree(batch.folder, tmp_path / f"m{len(moments)}"))
            return real(path, *args, **kwargs)

        return call

    for name in ("replace", "link"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    queue.save(item, wanted)
    queue.publish()
    monkeypatch.undo()
    assert len(moments) >= 4
    for folder in moments:
        found = ReviewQueue(folder).open(0).labels
        names = {info.id: info.name for info in found.classes}
        if found.corrections is None:
            assert (found.labels == item.labels.labels).all()
        else:
            assert {names[value] for value in found.labels[3]} == {"spoon"}
        report = drain(batch_steps(replace(batch, format=format, folder=folder, resume=True)))
        assert not [r for r in report.failed if "spoon" in r.failure]
        assert not list(folder.rglob(".wildseg-?????*.plan"))


@pytest.mark.parametrize(
    "name", ["../../victim", "..", "/tmp/victim", "a/../../victim", "a\\b", "C:victim", "", "a\nb"]
)
def test_names_that_lead_out_of_the_folder_are_refused(batch, name):
    drain(batch_steps(batch))
    path = batch.folder / "report.json"
    report = json.loads(path.read_text())
    wrong = json.loads(path.read_text())
    wrong["review"][0]["name"] = name
    path.write_text(json.dumps(wrong))
    with pytest.raises(InputError, match=r"report\.json cannot be used"):
        ReviewQueue(batch.folder)
    for file in (f"{name}/x.png", "../x.png"):
        wrong = json.loads(json.dumps(report))
        wrong["review"][0]["files"] = [file]
        path.write_text(json.dumps(wrong))
        if file.startswith("/x"):
            continue
        with pytest.raises(InputError, match="no file in the output folder"):
            ReviewQueue(batch.folder)
    path.write_text(json.dumps(report))
    journal = batch.folder / ".wildseg-batch" / "journal.jsonl"
    line = json.dumps({**report["review"][0], "name": name})
    journal.write_text(journal.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"journal\.jsonl cannot be used"):
        ReviewQueue(batch.folder).open(0)
    with pytest.raises(InputError, match=r"journal\.jsonl cannot be used"):
        drain(batch_steps(replace(batch, resume=True)))


def test_a_batch_without_its_hidden_folder_can_be_reviewed(batch, painted):
    drain(batch_steps(batch))
    shutil.rmtree(batch.folder / ".wildseg-batch")
    queue = ReviewQueue(batch.folder)
    item = queue.open(0)
    queue.save(item, painted(item, "spoon"))
    queue.publish()
    again = ReviewQueue(batch.folder)
    assert len(again.records) == 3
    assert (again.open(0).labels.labels[3] == 3).all()
    shutil.rmtree(batch.folder)
    with pytest.raises(InputError, match="is gone"):
        queue.save(item, painted(item, "spoon"))
    assert not batch.folder.exists()
