"""Reading evaluation sets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.errors import InputError
from napari_wildseg.evaluation import EvaluationSet

from .helpers import write_set


def mask_with(*values):
    """A 10 x 10 mask with that many pixels of each value."""
    mask = np.zeros(100, np.uint8)
    at = 0
    for value, count in values:
        mask[at : at + count] = value
        at += count
    return mask.reshape(10, 10)


def test_known_classes_cover_one_percent(tmp_path):
    mask = np.repeat(np.repeat(mask_with((1, 3), (255, 50)), 2, 0), 2, 1)
    mask[-1, -3:] = 2  # 3 of 400 pixels
    folder = write_set(tmp_path / "s", {"x": mask}, classes={"1": "cat", "2": "fly", "3": "ox"})
    (item,) = EvaluationSet.open(folder).items
    found = item.mask()
    assert (found == mask).all()
    assert [(info.id, info.name) for info in item.known(found)] == [(1, "cat")]
    assert item.image().shape == (20, 20, 3)


def test_palette_masks_hold_indices(tmp_path):
    mask = mask_with((1, 30), (255, 5))
    folder = write_set(tmp_path / "s", {"x": mask}, classes={"1": "cat"})
    picture = Image.fromarray(mask)
    picture.putpalette([7] * 768)
    picture.save(folder / "masks" / "x.png")
    (item,) = EvaluationSet.open(folder).items
    assert (item.mask() == mask).all()


def test_vocabulary_and_flavour(tmp_path):
    masks = {"a": mask_with((1, 50)), "b": mask_with((1, 50))}
    labels = {"a": {"1": "frog"}, "b": {"1": "newt"}}
    data = EvaluationSet.open(write_set(tmp_path / "s", masks, labels=labels))
    assert data.per_image
    assert data.vocabulary == ("frog", "newt")
    assert [item.stem for item in data.items] == ["a", "b"]


def test_values_without_a_name(tmp_path):
    folder = write_set(tmp_path / "s", {"x": mask_with((7, 50))}, classes={"1": "cat"})
    (item,) = EvaluationSet.open(folder).items
    with pytest.raises(InputError, match="value 7"):
        item.mask()


def test_colour_masks_are_refused(tmp_path):
    folder = write_set(tmp_path / "s", {"x": mask_with((1, 50))}, classes={"1": "cat"})
    Image.new("RGB", (10, 10)).save(folder / "masks" / "x.png")
    (item,) = EvaluationSet.open(folder).items
    with pytest.raises(InputError, match="8-bit"):
        item.mask()


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ("[1, 2]", "not a JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"cat": "1"}', "not a mask value"),
        ('{"1": ""}', "not a mask value"),
        ('{"1": 5}', "not a mask value"),
        ('{"300": "cat"}', "not a mask value"),
        ('{"1": "cat", "2": "cat"}', "two classes alike"),
        ('{"0": "background"}', "names no class"),
    ],
)
def test_broken_class_lists(tmp_path, classes, sentence):
    folder = write_set(tmp_path / "s", {"x": mask_with((1, 50))})
    (folder / "classes.json").write_text(classes)
    with pytest.raises(InputError, match=sentence):
        EvaluationSet.open(folder)


def test_missing_parts(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        EvaluationSet.open(tmp_path / "none")
    with pytest.raises(InputError, match="has no folder images"):
        EvaluationSet.open(tmp_path)
    folder = write_set(tmp_path / "s", {"x": mask_with((1, 50))})
    with pytest.raises(InputError, match="one of classes.json"):
        EvaluationSet.open(folder)
    (folder / "classes.json").write_text('{"1": "cat"}')
    (folder / "masks" / "x.png").unlink()
    with pytest.raises(InputError, match="no image with a mask"):
        EvaluationSet.open(folder)


def test_names_missing_for_an_image(tmp_path):
    folder = write_set(tmp_path / "s", {"x": mask_with((1, 50))}, labels={"y": {"1": "cat"}})
    with pytest.raises(InputError, match="does not name the classes of x"):
        EvaluationSet.open(folder)
