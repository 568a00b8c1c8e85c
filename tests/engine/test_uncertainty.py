"""How much a result is to be doubted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.maps.uncertainty import UNCERTAINTY_WEIGHTS, estimate_uncertainty
from napari_wildseg.engine.segmenter import Segmenter

from .small_models import make_model


def maps(*columns, side=12):
    """One map a class, high in one column."""
    found = torch.zeros(len(columns), side, side)
    for index, column in enumerate(columns):
        found[index, :, column] = 1
    return found


LABELS = np.repeat(np.array([[0, 1, 2]], np.uint8), 3, axis=0)


def relevance(first, second):
    """Two classes with the given relevance on every pixel."""
    return np.stack([np.full((3, 3), first, np.float32), np.full((3, 3), second, np.float32)])


def test_looks_that_agree_leave_no_doubt():
    sure = estimate_uncertainty(LABELS, LABELS, relevance(1, 0), [maps(2, 7)] * 3)
    assert sure.disagreement == pytest.approx(0, abs=1e-5)
    assert (sure.margin, sure.unsure) == (0, 0)
    assert sure.score == pytest.approx(0, abs=1e-5)


def test_the_class_agreed_upon_least_counts():
    one = estimate_uncertainty(LABELS, LABELS, relevance(1, 0), [maps(2, 7), maps(2, 4)])
    both = estimate_uncertainty(LABELS, LABELS, relevance(1, 0), [maps(2, 7), maps(3, 4)])
    assert one.disagreement == pytest.approx(1)
    assert both.disagreement == pytest.approx(1)
    third = estimate_uncertainty(
        LABELS, LABELS, relevance(1, 0), [maps(2, 7), maps(2, 7), maps(2, 4)]
    )
    assert 0.3 < third.disagreement < 1


def test_margin_and_open_pixels_count():
    near = estimate_uncertainty(LABELS, LABELS, relevance(0.8, 0.7), [])
    assert near.margin == pytest.approx(0.9)
    pseudo = LABELS.copy()
    pseudo[0] = 255
    half = estimate_uncertainty(LABELS, pseudo, relevance(1, 0), [])
    assert half.unsure == pytest.approx(1 / 3)
    assert half.score == pytest.approx(UNCERTAINTY_WEIGHTS["unsure"] / 3)
    assert estimate_uncertainty(0 * LABELS, 0 * LABELS, relevance(1, 0), []).margin == 1
    assert sum(UNCERTAINTY_WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize("views", ["single", "default", "best"])
def test_a_segmenter_judges_its_result(views):
    segmenter = Segmenter(make_model("RN"), views=views)
    with pytest.raises(InputError, match="segmented"):
        segmenter.uncertainty()
    image = np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8)
    segmenter.set_image(image)
    segmenter.segment("cat, dog")
    found = segmenter.uncertainty().to_json()
    assert all(0 <= value <= 1 for value in found.values())
    assert (found["disagreement"] == 0) == (views == "single")
