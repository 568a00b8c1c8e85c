"""What a LabelImage may hold, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import voc_palette
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.io import LabelImage
from napari_wildseg.io.description import about_from_json
from napari_wildseg.io.label_image import classes_from_json, classes_to_json
from napari_wildseg.io.safety.json_data import dump_json, parse_json

from .strategies import class_lists, label_images

CAT = ClassInfo(1, "cat", ("cat",), (1, 2, 3))
SQUARE = np.zeros((4, 4), np.uint8)


def test_values_need_a_class():
    with pytest.raises(InputError, match="Label 7"):
        LabelImage(SQUARE + np.uint8(7), (CAT,))
    LabelImage(SQUARE + np.uint8(255), ())  # unlabelled is not a class


def test_from_array_names_what_has_no_name():
    found = LabelImage.from_array(np.array([[0, 1, 40000 % 200, 255]]), [CAT])
    assert [(info.id, info.name) for info in found.classes] == [(1, "cat")]
    found = LabelImage.from_array(np.array([[0, 3, 1, 255]]), [CAT])
    assert [(info.id, info.name) for info in found.classes] == [(1, "cat"), (3, "class 3")]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros(5, np.uint8), r"\(H, W\)"),
        (np.zeros((1, 2, 2, 2, 2), np.uint8), r"\(H, W\)"),
        (np.zeros((2, 2)), "integers"),
        (np.array([[256]]), "0 to 255"),
        (np.array([[-1]]), "0 to 255"),
        (np.zeros((0, 5), np.uint8), "non-empty"),
    ],
)
def test_from_array_refuses(values, sentence):
    with pytest.raises(InputError, match=sentence):
        LabelImage.from_array(values)


def test_other_rules():
    with pytest.raises(InputError, match="different numbers"):
        LabelImage(SQUARE, (CAT, ClassInfo(1, "dog", ("dog",), (0, 0, 0))))
    with pytest.raises(InputError, match="different numbers"):
        LabelImage(SQUARE, (ClassInfo(255, "dog", ("dog",), (0, 0, 0)),))
    with pytest.raises(InputError, match="pixel size"):
        LabelImage(SQUARE, (), scale=(0, 1))
    with pytest.raises(InputError, match="pixel size"):
        LabelImage(SQUARE, (), scale=(1, 1, 1))
    with pytest.raises(InputError, match="place"):
        LabelImage(SQUARE, (), translate=(1, float("nan")))
    with pytest.raises(InputError, match="affine"):
        LabelImage(SQUARE, (), affine=((1, 0), (0, 1)))
    with pytest.raises(InputError, match="Axes"):
        LabelImage(SQUARE, (), axes="zyx")
    with pytest.raises(InputError, match="Corrections"):
        LabelImage(SQUARE, (), corrections=np.zeros((4, 4), np.int64))


def test_palette():
    palette = LabelImage(SQUARE, (CAT,)).palette
    assert palette[1].tolist() == [1, 2, 3]
    assert (palette[[0, 2, 255]] == voc_palette()[[0, 2, 255]]).all()


@given(class_lists())
def test_classes_come_back_from_json(classes):
    assert classes_from_json(json.loads(dump_json(classes_to_json(classes))), "x") == classes


@given(label_images(stacks=True, corrections=True))
def test_about_comes_back_from_json(labels):
    about = about_from_json(parse_json(dump_json(labels.about()), "x"), "x", labels.labels.shape)
    assert about.pop("shape") == labels.labels.shape
    assert (about.pop("corrections") == labels.corrections).all()
    for key, value in about.items():
        assert getattr(labels, key) == value


def test_a_plane_of_a_stack_lies_where_it_did():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    turned = ((2, 0, 0, 0), (0, 0, -1, 5), (0, 1, 0, 6), (0, 0, 0, 1))
    stack = LabelImage.from_array(values, scale=(3, 0.5, 0.25), translate=(9, 1, 2), affine=turned)
    plane = stack.plane(1)
    assert (plane.labels == values[1]).all()
    assert (plane.axes, plane.scale, plane.translate) == ("yx", (0.5, 0.25), (1, 2))
    assert plane.affine == ((0, -1, 5), (1, 0, 6), (0, 0, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"version": 99},
        {"version": True},
        {"image_size": {"height": 5, "width": 4}},
        {"image_size": None},
        {"scale": [1]},
        {"scale": [0, 1]},
        {"scale": [1, "x"]},
        {"scale": [1, float("inf")]},
        {"axes": "zyx"},
        {"axes": ["y", "x"]},
        {"shape": [4, 4, 1]},
        {"shape": [2, 4, 4]},
        {"shape": [True, 4, 4]},
        {"translate": [1]},
        {"translate": [1, "x"]},
        {"affine": [[1, 0], [0, 1]]},
        {"affine": [[1, 0, 0], [0, 1, 0], [0, 0, "x"]]},
        {"corrections": []},
        {"corrections": {"1": "3 4"}},
        {"corrections": {"1": "x 4"}},
        {"corrections": {"1": [0, 16]}},
        {"corrections": {"300": "0 16"}},
        {"corrections": {"cat": "0 16"}},
        {"corrections": {"1": "0 16", "2": "0 16"}},
        {"corrections": {"1": "-1 17"}},
        {"corrections": {"1": "999999999999 999999999999"}},
        {"units": 7},
        {"model": "m" * 5000},
        {"settings": []},
        {"classes": {}},
        {"classes": [5]},
        {"classes": [{"id": 0, "name": "x"}]},
        {"classes": [{"id": True, "name": "x"}]},
        {"classes": [{"id": 1, "name": ""}]},
        {"classes": [{"id": 1, "name": None}]},
        {"classes": [{"id": 1, "name": "x", "prompts": []}]},
        {"classes": [{"id": 1, "name": "x", "prompts": [5]}]},
        {"classes": [{"id": 1, "name": "x", "colour": [1, 2]}]},
        {"classes": [{"id": 1, "name": "x", "colour": [1, 2, 256]}]},
        {"classes": [{"id": n, "name": "x"} for n in range(1, 300)]},
    ],
)
def test_broken_descriptions_are_refused(change):
    about = {**LabelImage(SQUARE, (CAT,)).about(), **change}
    with pytest.raises(InputError, match="file.json"):
        about_from_json(about, "file.json", (4, 4))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"nan!", b"[NaN]", b"1e999"]
)
def test_broken_json_is_refused(text):
    with pytest.raises(InputError, match="file.json is not valid JSON"):
        parse_json(text, "file.json")


def test_dump_json_takes_numpy_and_nothing_else():
    text = dump_json({"a": np.float32(0.5), "b": np.arange(2), "c": "漢"})
    assert json.loads(text) == {"a": 0.5, "b": [0, 1], "c": "漢"}
    with pytest.raises(TypeError, match="object"):
        dump_json(object())


@pytest.mark.parametrize("name", ["c\u202eat", "c\u2066at", "cat\x07", "c\u00adat"])
def test_names_with_control_characters_are_refused_wherever_they_come_from(name, tmp_path):
    info = ClassInfo(1, name, ("cat",), (1, 2, 3))
    with pytest.raises(InputError, match=r"control character U\+"):
        LabelImage(np.zeros((2, 2), np.uint8), (info,))
    with pytest.raises(InputError, match=r"x\.json: class 1 has .* control character"):
        classes_from_json([{"id": 1, "name": "cat", "prompts": [name]}], "x.json")
    words = tmp_path / "words.txt"
    words.write_text(f"dog\n{name}\n", "utf-8")
    with pytest.raises(InputError, match=r"words\.txt has .* control character"):
        load_vocabulary(words)
