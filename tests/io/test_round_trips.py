"""What goes into a format comes out again, for every format that can hold it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import FORMATS, LabelImage, read_labels, write_labels

from .strategies import label_images

# What the table in docs/formats.md says of them.
NO_UNLABELLED = {"yolo"}
NO_STACKS = {"png", "coco", "yolo"}


def assert_same(found, labels):
    assert (found.labels == labels.labels).all()
    assert found.labels.shape == labels.labels.shape
    # Names, prompts, colours, pixel size, unit, place, model, settings and corrections.
    assert found.about() == labels.about()
    assert (found.corrections is None) == (labels.corrections is None)
    if labels.corrections is not None:
        assert found.corrections.dtype == np.int16
        assert (found.corrections == labels.corrections).all()


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@given(data=st.data())
def test_round_trip(tmp_path_factory, format, data):
    labels = data.draw(
        label_images(
            corrections=data.draw(st.booleans()),
            unlabelled=format.unlabelled,
            stacks=format.stacks,
        )
    )
    path = tmp_path_factory.mktemp("trip") / f"x{format.suffixes[0]}"
    write_labels(path, labels)
    assert_same(read_labels(path), labels)


def test_what_formats_say_of_themselves():
    assert {f.name for f in FORMATS if not f.unlabelled} == NO_UNLABELLED
    assert {f.name for f in FORMATS if not f.stacks} == NO_STACKS


PAIRS = [(a, b) for a in FORMATS for b in FORMATS]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{a.name}-{b.name}" for a, b in PAIRS])
@settings(max_examples=settings.default.max_examples // 10)
@given(data=st.data())
def test_from_every_format_to_every_other(tmp_path_factory, first, second, data):
    stacks = first.stacks and second.stacks
    unlabelled = first.unlabelled and second.unlabelled
    labels = data.draw(label_images(corrections=True, unlabelled=unlabelled, stacks=stacks))
    folder = tmp_path_factory.mktemp("pair")
    one, two = folder / f"a{first.suffixes[0]}", folder / f"b{second.suffixes[0]}"
    write_labels(one, labels)
    write_labels(two, read_labels(one))
    assert_same(read_labels(two), labels)


@pytest.mark.parametrize("format", [f for f in FORMATS if not f.stacks], ids=lambda f: f.name)
def test_nothing_is_left_out_silently(tmp_path, format):
    path = tmp_path / f"x{format.suffixes[0]}"
    stack = LabelImage.from_array(np.ones((2, 4, 5), np.uint8))
    with pytest.raises(InputError, match="one plane"):
        write_labels(path, stack)
    assert not list(tmp_path.iterdir())
    write_labels(path, stack.plane(1))
    with pytest.raises(InputError, match="no plane"):
        stack.plane(2)
    if not format.unlabelled:
        unsure = LabelImage.from_array(np.array([[255, 3]]))
        with pytest.raises(InputError, match="unlabelled"):
            write_labels(tmp_path / f"y{format.suffixes[0]}", unsure)
        write_labels(tmp_path / f"y{format.suffixes[0]}", unsure, unlabelled="nearest")
        assert read_labels(tmp_path / f"y{format.suffixes[0]}").labels.tolist() == [[3, 3]]


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_254_classes_at_a_useful_size(tmp_path, format):
    values = np.arange(60 * 90).reshape(60, 90) // 16 % 255
    classes = tuple(ClassInfo(n, f"name {n}", ("x",), (n, 0, 255 - n)) for n in range(1, 255))
    labels = LabelImage(values.astype(np.uint8), classes)
    path = tmp_path / f"größe 漢字{format.suffixes[0]}"
    write_labels(path, labels)
    found = read_labels(path)
    assert (found.labels == labels.labels).all()
    assert found.classes == classes


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_existing_files_stay_and_failures_leave_nothing(tmp_path, format, monkeypatch):
    one = LabelImage.from_array(np.ones((4, 5), np.uint8))
    two = LabelImage.from_array(np.full((4, 5), 2, np.uint8))
    path = tmp_path / f"x{format.suffixes[0]}"
    write_labels(path, one)
    with pytest.raises(InputError, match="already there"):
        write_labels(path, two)
    assert (read_labels(path).labels == 1).all()
    assert write_labels(path, two, overwrite=True)
    assert (read_labels(path).labels == 2).all()
    before = sorted(p.name for p in tmp_path.iterdir())
    assert not [name for name in before if name.startswith(".wildseg")]


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, format):
    from napari_wildseg.engine.errors import WildsegError

    (tmp_path / "file").write_text("in the way")
    labels = LabelImage.from_array(np.ones((4, 5), np.uint8))
    with pytest.raises(WildsegError, match=r"file is a file, not a folder: choose another"):
        write_labels(tmp_path / "file" / f"x{format.suffixes[0]}", labels)


def test_names_and_endings_of_formats_are_unique():
    assert len({format.name for format in FORMATS}) == len(FORMATS)
    endings = [suffix for format in FORMATS for suffix in format.suffixes]
    assert len(set(endings)) == len(endings)
