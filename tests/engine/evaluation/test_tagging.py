"""Figures of image-level labels, on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.evaluation.tagging_scores import (
    LabelTally,
    average_precision,
    best_cut,
    figures,
)


def test_average_precision_by_hand():
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), truth) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert average_precision(np.array([0.9, 0.1, 0.8, 0.2]), truth) == 1


def test_figures_by_hand():
    scores = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2]])
    truth = np.array([[True, False, False], [False, True, True]])
    found = figures(scores, truth, 0.5)
    # Taken: (0, 0), (0, 1), (1, 1); two of them right; three are true.
    assert (found.precision, found.recall, found.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert found.per_image == 1.5
    assert found.map == 1.0
    assert found.image_map == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)


def test_the_best_cut_is_the_best():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((6, 5)), rng.random((6, 5)) < 0.3
    top = figures(scores, truth, best_cut(scores, truth)).f1
    assert top == max(figures(scores, truth, cut).f1 for cut in scores.ravel())


def test_merged_names_count_for_f1_but_not_for_the_ranking():
    tally = LabelTally(["cup", "mug", "sky"])
    tally.add(
        [("cup", 0.9), ("mug", 0.8), ("sky", 0.1)],
        [("cup", 0.9), ("sky", 0.1)],
        [("sky", 0.3), ("cup", 0.2), ("mug", 0.1)],
        ["cup"],
        ["cup"],
    )
    found = tally.to_json(0.5)
    assert set(found) == {"present", "known"}
    assert found["present"]["suggested"]["f1"] == 1
    assert found["present"]["suggested"]["image_map"] == 1
    assert found["present"]["whole image"]["image_map"] == 0.5
