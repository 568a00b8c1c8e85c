"""What --labels may say."""

from __future__ import annotations

import json

import pytest

from napari_wildseg.batch.plan.class_plan import plan_classes
from napari_wildseg.batch.plan.worklist import WorkItem
from napari_wildseg.engine.errors import InputError

ITEMS = (WorkItem("a", "/d/a.jpg"), WorkItem("b", "/d/b.jpg"), WorkItem("c", "/d/c.jpg"))


def known(plan):
    """Class names by image."""
    return {
        item.name: [info.name for info in plan.of(item.name)]
        for item in ITEMS
        if item.name in plan.known
    }


def test_names_are_for_every_image():
    plan = plan_classes("cat, cup=mug|cup", ITEMS)
    assert [info.name for info in plan.of("a")] == ["cat", "cup"]
    assert plan.of("b")[1].prompts == ("mug", "cup")


def test_names_may_be_a_list_to_choose_from():
    plan = plan_classes("cat, cup=mug|cup", ITEMS, if_present=True)
    assert plan.of("a") is None
    assert [info.id for info in plan.classes] == [1, 2]


def test_a_list_of_classes_keeps_its_ids(tmp_path):
    entries = [{"id": 3, "name": "cat", "colour": [1, 2, 3]}, {"id": 7, "name": "dog"}]
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"format": "a class set", "classes": entries}))
    plan = plan_classes(str(path), ITEMS)
    assert [(info.id, info.name) for info in plan.of("a")] == [(3, "cat"), (7, "dog")]
    assert plan.classes[0].colour == (1, 2, 3)
    assert plan_classes(str(path), ITEMS, if_present=True).of("a") is None


def test_automatic_labels_have_the_ids_of_the_vocabulary():
    plan = plan_classes("auto", ITEMS, vocabulary="voc")
    assert plan.of("a") is None
    assert [info.id for info in plan.classes] == list(range(1, 21))
    with pytest.raises(InputError, match="1000 names"):
        plan_classes("auto", ITEMS, vocabulary="imagenet")


@pytest.mark.parametrize(
    "content",
    [
        {"a.jpg": ["cat", "cup=mug|cup"], "b": "dog, cat", "d/c": []},
        {"a": {"0": "background", "1": "cat", "2": "cup"}, "b": ["dog", "cat"], "/d/c.jpg": ""},
    ],
)
def test_json_names_the_classes_of_each_image(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    plan = plan_classes(str(path), ITEMS)
    assert [info.name for info in plan.classes] == ["cat", "cup", "dog"]
    assert known(plan) == {"a": ["cat", "cup"], "b": ["cat", "dog"], "c": []}


def test_csv_names_the_classes_in_cells_or_rows(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('image,labels\na.jpg,"cat, cup=mug|cup"\nb.jpg,dog,cat\nb.jpg,cup\nc.jpg,\n')
    plan = plan_classes(str(path), ITEMS)
    assert known(plan) == {"a": ["cat", "cup"], "b": ["cat", "cup", "dog"], "c": []}
    assert plan.classes[1].prompts == ("mug", "cup")


def test_an_image_that_is_not_listed_is_told_so(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("a.jpg,cat\n")
    with pytest.raises(InputError, match="no labels are listed"):
        plan_classes(str(path), ITEMS).of("b")


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1]", "does not map"), ("{", "not valid JSON"), ('{"z": ["cat"]}', "none of the images")],
)
def test_it_says_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        plan_classes(str(path), ITEMS)
    with pytest.raises(InputError, match="There is no file"):
        plan_classes(str(tmp_path / "gone.json"), ITEMS)
