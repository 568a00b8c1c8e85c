"""What is refused on writing, in a sentence, and what odd names and values come back as."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg.batch import ReviewQueue, list_images, plan_classes, read_report
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import (
    FORMATS,
    COCODataSet,
    LabelImage,
    Project,
    VOCDataSet,
    load_project,
    read_class_set,
    read_labels,
    save_project,
    write_class_set,
    write_labels,
)
from napari_wildseg.io.corrections_file import write_corrections
from napari_wildseg.io.voc_dataset import labelmap_bytes

CAT = ClassInfo(1, "cat", ("cat",), (1, 2, 3))


@pytest.mark.parametrize("value", [255, 256, 300, 32767, -2, -7])
def test_corrections_that_no_reader_takes_are_refused_on_writing(tmp_path, value):
    corrections = np.full((4, 5), -1, np.int16)
    corrections[0, 0] = value
    labels = LabelImage(np.ones((4, 5), np.uint8), (CAT,))
    with pytest.raises(InputError, match=f"corrections hold {value}"):
        replace(labels, corrections=corrections)
    with pytest.raises(InputError, match=f"corrections hold {value}"):
        Project(labels, pseudo_corrections=corrections)
    for name in ("c.png", "c.npy"):
        with pytest.raises(InputError, match=f"corrections hold {value}"):
            write_corrections(tmp_path / name, corrections)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [-1, 0, 1, 254])
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_corrections_that_are_written_are_read(tmp_path, format, value):
    corrections = np.full((4, 5), -1, np.int16)
    corrections[0, 0] = value
    labels = LabelImage(np.ones((4, 5), np.uint8), (CAT,), corrections=corrections)
    path = tmp_path / f"x{format.suffixes[0]}"
    write_labels(path, labels)
    assert (read_labels(path).corrections == corrections).all()


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\t", "\x85", "\u2028", "\x0b", "  \n "])
def test_class_names_of_several_lines_become_one(tmp_path, gap):
    name = f"red{gap}cup"
    content = {"format": "napari-wildseg classes", "version": 1}
    classes = [{"id": 1, "name": name, "prompts": [name], "colour": [1, 2, 3]}]
    (tmp_path / "set.json").write_text(json.dumps({**content, "classes": classes}))
    assert [info.name for info in read_class_set(tmp_path / "set.json")] == ["red cup"]
    info = ClassInfo(1, name, (name,), (1, 2, 3))
    assert labelmap_bytes((info,)).count(b"\n") == 3
    data = VOCDataSet(tmp_path / "voc")
    labels = LabelImage(np.ones((4, 5), np.uint8), (info,))
    data.add("one", np.zeros((4, 5, 3), np.uint8), labels)
    assert [info.name for info in VOCDataSet(tmp_path / "voc").classes] == ["red cup"]


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_names_that_are_no_utf_8(tmp_path, format):
    image = os.fsdecode(b"lat\xe9in")
    path = tmp_path / f"{image}{format.suffixes[0]}"
    write_labels(path, LabelImage(np.ones((4, 5), np.uint8), (CAT,), image=image))
    found = read_labels(path)
    assert found.classes == (CAT,)
    assert found.image == image
    with pytest.raises(InputError, match="cannot be a file's name"):
        VOCDataSet(tmp_path / "voc").add(image, np.zeros((4, 5, 3), np.uint8), found)


JUNK = (None, 5, 2.5, "x", b"x", {}, object(), [1, 2], np.array("x"), lambda: 1)


@pytest.mark.parametrize("value", JUNK, ids=lambda value: type(value).__name__)
def test_arguments_of_another_type_are_refused_in_a_sentence(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    labels = LabelImage(np.ones((4, 5), np.uint8), (CAT,))
    array = np.ones((4, 5), np.uint8)
    calls = [
        lambda: LabelImage(value, (CAT,)),
        lambda: LabelImage(array, value),
        lambda: write_labels("x.png", value),
        lambda: save_project("x.wildseg", value),
        lambda: Project(value),
        lambda: VOCDataSet("voc").add("x", value, labels),
        lambda: VOCDataSet("voc").add("x", np.zeros((4, 5, 3), np.uint8), value),
        lambda: COCODataSet("coco").add("x", np.zeros((4, 5, 3), np.uint8), value),
    ]
    if value is not None:
        calls.append(lambda: LabelImage(array, (CAT,), corrections=value))
        calls.append(lambda: Project(labels, pseudo_labels=value))
    if not isinstance(value, str):
        calls += [
            lambda: read_labels(value),
            lambda: write_labels(value, labels),
            lambda: load_project(value),
            lambda: save_project(value, Project(labels)),
            lambda: read_class_set(value),
            lambda: write_class_set(value, "cat"),
            lambda: VOCDataSet(value),
            lambda: COCODataSet(value),
            lambda: VOCDataSet("voc").add(value, np.zeros((4, 5, 3), np.uint8), labels),
            lambda: write_labels("x.png", labels, unlabelled=value),
            lambda: Project(labels, image_digest=value),
            lambda: list_images(value),
            lambda: plan_classes(value, ()),
            lambda: read_report(value),
            lambda: ReviewQueue(value),
        ]
    for call in calls:
        if isinstance(value, dict) and call is calls[1]:
            continue  # no classes
        with pytest.raises(InputError):
            call()
    assert not list(tmp_path.iterdir())
