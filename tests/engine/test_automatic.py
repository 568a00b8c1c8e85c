"""Fully automatic: suggested names become classes, those without pixels are dropped and named."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.auto_segment import automatic_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.engine.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter():
    one = Segmenter(views="single")
    one.set_image(load_sample("coffee"))
    return one


def test_names_above_the_cut_become_classes(segmenter):
    classes = automatic_classes(segmenter, "coco")
    assert classes[0].name == "cup"
    assert [c.id for c in classes] == list(range(1, len(classes) + 1))
    assert len(automatic_classes(segmenter, "coco", 0.05)) > len(classes)
    assert len(automatic_classes(segmenter, "coco", 1.0)) == 1


def test_a_cut_outside_its_range_is_refused(segmenter):
    with pytest.raises(InputError, match="from 0 to 1"):
        automatic_classes(segmenter, "coco", 1.5)


def test_the_image_is_segmented_into_what_it_shows(segmenter):
    result = segmenter.segment_auto("coco")
    assert {c.name for c in result.classes} >= {"cup"}
    assert set(np.unique(result.labels)) == {0, *(c.id for c in result.classes)}
    again = segmenter.refine()
    assert again.classes == result.classes


def test_classes_without_pixels_are_dropped_and_named(segmenter, monkeypatch):
    """A name that is suggested but finds no place goes, and the result says so."""
    whole = segmenter.segment_steps

    def without_last(classes, **options):
        result = yield from whole(classes, **options)
        if len(classes) > 1:
            result.labels[result.labels == classes[-1].id] = 0
        return result

    monkeypatch.setattr(segmenter, "segment_steps", without_last)
    monkeypatch.setattr(segmenter, "suggest", lambda *_, **__: [("cup", 0.9), ("kite", 0.8)])
    result = segmenter.segment_auto("coco", refine=False)
    assert [c.name for c in result.classes] == ["cup"]
    assert 'dropped since no pixels were found: "kite"' in result.notices[-1]
