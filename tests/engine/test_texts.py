"""Background words compete with the classes, never against their own meaning."""

from __future__ import annotations

import pytest
import torch

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.names.class_texts import BACKGROUND_WORDS, checked_background, text_rows


@pytest.fixture(scope="module")
def model():
    return load_model("starter")


def kept(model, classes, words):
    _, rows = text_rows(model, parse_classes(classes), words)
    all_rows = model.encode_text(words)
    return [w for w, r in zip(words, all_rows, strict=True) if (rows == r).all(1).any()]


@pytest.mark.parametrize(
    ("classes", "gone"),
    [
        ("sky", {"sky", "cloud"}),  # cloud means much the same
        ("SKY", {"sky"}),  # by name, in any case
        ("above=sky", {"sky"}),  # by prompt
        ("couch", {"sofa"}),  # by text similarity
        ("cat", set()),
    ],
)
def test_words_that_mean_a_class_are_left_out(model, classes, gone):
    words = ("sky", "cloud", "sofa", "horse")
    left = set(kept(model, classes, words))
    assert not gone & left
    assert "horse" in left


def test_no_words_are_allowed(model):
    text, rows = text_rows(model, parse_classes("cat, dog"), ())
    assert text.shape == (2, 1280)
    assert rows.shape == (0, 1280)
    torch.testing.assert_close(text.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("default", BACKGROUND_WORDS),
        ("none", ()),
        ("", ()),
        ("sky,  wet road ,\nSky", ("sky", "wet road")),
        (["grass", ""], ("grass",)),
    ],
)
def test_words_as_typed(given, expected):
    assert checked_background(given) == expected


def test_what_is_no_text_is_refused():
    with pytest.raises(InputError, match="no background word"):
        checked_background([3])
