"""Cuts of suggested names."""

from __future__ import annotations

import pytest

from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE, prior_odds, scale_odds


def test_a_name_of_a_long_vocabulary_needs_more_evidence():
    scores = [scale_odds(0.6, prior_odds(length)) for length in (1, 10, 20, 37, 80, 200, 20_000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == scores[1] > 0.8
    assert scores[3] == pytest.approx(0.6)
    assert scores[-1] == scores[-2] < PRESENT_SCORE


@pytest.mark.parametrize("odds", [0.1, 1.0, 6.7])
def test_odds_keep_the_order_and_the_ends(odds):
    values = [scale_odds(p / 10, odds) for p in range(11)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == pytest.approx((0, 1))
    assert scale_odds(scale_odds(0.3, odds), 1 / odds) == pytest.approx(0.3)
