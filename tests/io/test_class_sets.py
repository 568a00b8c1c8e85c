"""Class sets come back as they were kept, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from napari_wildseg.engine.classes import ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.class_sets import read_class_set, write_class_set

CLASSES = (
    ClassInfo(7, "cup of coffee", ("cup", "mug"), (1, 2, 3)),
    ClassInfo(2, 'salt, "pepper" & Café 猫', ("salt",), (250, 0, 9)),
)


def test_a_set_comes_back_ids_and_colours_included(tmp_path):
    path = write_class_set(tmp_path / "mine", CLASSES)
    assert path.name == "mine.json"
    assert read_class_set(path) == CLASSES
    assert [p.name for p in tmp_path.iterdir()] == ["mine.json"]


def test_names_as_typed_are_taken(tmp_path):
    path = write_class_set(tmp_path / "mine.json", "cat, dog=puppy|dog")
    assert read_class_set(path) == parse_classes("cat, dog=puppy|dog")


def test_the_same_classes_give_the_same_bytes(tmp_path):
    a, b = (write_class_set(tmp_path / n, CLASSES) for n in ("a.json", "b.json"))
    assert a.read_bytes() == b.read_bytes()


def test_a_file_is_replaced_only_when_asked(tmp_path):
    path = write_class_set(tmp_path / "mine.json", CLASSES)
    with pytest.raises(InputError, match="already"):
        write_class_set(path, "cat")
    assert read_class_set(path) == CLASSES
    write_class_set(path, "cat", overwrite=True)
    assert [c.name for c in read_class_set(path)] == ["cat"]


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match="end in .json"):
        write_class_set(tmp_path / "mine.txt", CLASSES)


def test_a_label_sidecar_serves_as_a_class_set(tmp_path):
    path = tmp_path / "photo.json"
    entry = {"id": 3, "name": "cat", "prompts": ["cat"], "colour": [1, 2, 3]}
    path.write_text(
        json.dumps({"format": "napari-wildseg labels", "version": 1, "classes": [entry]})
    )
    assert read_class_set(path) == (ClassInfo(3, "cat", ("cat",), (1, 2, 3)),)


GOOD = {"id": 1, "name": "cat", "prompts": ["cat"], "colour": [1, 2, 3]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not a class set"),
        ('{"format": "other", "classes": []}', "not a class set"),
        ({"version": 2, "classes": [GOOD]}, "version 2"),
        ({"classes": []}, "holds no classes"),
        ({"classes": {"1": "cat"}}, "not a list"),
        ({"classes": [GOOD, GOOD]}, "given twice"),
        ({"classes": [GOOD | {"id": 255}]}, "1 to 254"),
        ({"classes": [GOOD | {"id": True}]}, "1 to 254"),
        ({"classes": [GOOD | {"name": "x" * 500}]}, "usable name"),
        ({"classes": [GOOD | {"name": " "}]}, "blank"),
        ({"classes": [GOOD | {"colour": [1, 2, 300]}]}, "three bytes"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(tmp_path, content, says):
    path = tmp_path / "mine.json"
    if isinstance(content, dict):
        content = json.dumps({"format": "napari-wildseg classes", "version": 1, **content})
    path.write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        read_class_set(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_class_set(tmp_path / "none.json")
