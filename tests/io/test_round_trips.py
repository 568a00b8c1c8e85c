"""What goes into a format comes out again, for every format that can hold it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import FORMATS, LabelImage, read_labels, write_labels

from .strategies import label_images

# Formats that have no way to say "unlabelled"; the table in docs/formats.md says the same.
NO_UNLABELLED = {"yolo"}
NO_CORRECTIONS = {"png", "tif", "coco", "yolo", "ome-zarr"}


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@settings(max_examples=60)
@given(labels=label_images(corrections=True))
def test_round_trip(tmp_path_factory, format, labels):
    path = tmp_path_factory.mktemp("trip") / f"x{format.suffixes[0]}"
    write_labels(path, labels)
    found = read_labels(path)
    expected = labels.labels
    if format.name in NO_UNLABELLED:
        expected = np.where(expected == 255, 0, expected)
    assert (found.labels == expected).all()
    assert found.about() == labels.about()
    if format.name in NO_CORRECTIONS:
        assert found.corrections is None
    else:
        assert (found.corrections == labels.corrections).all()


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
    with pytest.raises(WildsegError, match="cannot be written"):
        write_labels(tmp_path / "file" / f"x{format.suffixes[0]}", labels)


def test_names_and_endings_of_formats_are_unique():
    assert len({format.name for format in FORMATS}) == len(FORMATS)
    endings = [suffix for format in FORMATS for suffix in format.suffixes]
    assert len(set(endings)) == len(endings)
