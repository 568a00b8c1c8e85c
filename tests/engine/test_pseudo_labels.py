"""Relevance becomes classes, background and "not sure", and the threshold does one thing."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wildseg.engine.maps.pseudo_labels import Evidence, decide, normalise

MAPS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(0, 1, width=32),
)
THRESHOLDS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def ramp(*maps):
    return np.array(maps, np.float32)[:, None]


def is_class(labels):
    return (labels > 0) & (labels < 255)


@given(MAPS, THRESHOLDS)
def test_raising_the_threshold_only_takes_away(relevance, thresholds):
    """Never background into a class or "not sure", never "not sure" into a class."""
    evidence = Evidence(relevance)
    low, high = (evidence.pseudo_labels(t) for t in thresholds)
    assert (high[low == 0] == 0).all()
    assert not is_class(high[low == 255]).any()
    same = is_class(high)
    np.testing.assert_array_equal(high[same], low[same])


@given(MAPS, THRESHOLDS)
def test_decide_is_monotone_too(relevance, thresholds):
    low, high = (decide(relevance, t) for t in thresholds)
    assert (high[low == 0] == 0).all()
    np.testing.assert_array_equal(high[high > 0], low[high > 0])


@given(MAPS, st.floats(0, 1))
def test_sure_pixels_are_what_decide_says(relevance, threshold):
    labels = Evidence(relevance).pseudo_labels(threshold)
    decided = decide(relevance, threshold)
    sure = is_class(labels)
    np.testing.assert_array_equal(labels[sure], relevance.argmax(0)[sure] + 1)
    np.testing.assert_array_equal(decided[labels == 0], 0)
    assert labels.dtype == decided.dtype == np.uint8


def test_one_class_is_background_unsure_and_class_in_turn():
    labels = Evidence(ramp(np.linspace(0, 1, 101))).pseudo_labels(0.5)[0]
    assert (labels[:34] == 0).all()
    assert (labels[36:64] == 255).all()
    assert (labels[66:] == 1).all()


@pytest.mark.parametrize("threshold", [0, 0.5, 1])
def test_the_peak_of_a_class_is_always_sure(threshold):
    """Even the highest threshold leaves each class a seed."""
    labels = Evidence(ramp([1, 0, 0.2], [0, 1, 0.1])).pseudo_labels(threshold)
    assert labels[0, :2].tolist() == [1, 2]


def test_classes_compete():
    """Two classes that are nearly equal are not sure; the clearly stronger one is."""
    relevance = ramp([0.9, 0.9, 0.9], [0.85, 0.5, 0.0])
    assert Evidence(relevance).pseudo_labels(0.4).tolist() == [[255, 1, 1]]
    assert decide(relevance[::-1], 0.4).tolist() == [[2, 2, 2]]


def test_the_third_class_is_looked_at():
    relevance = ramp([0.1, 0.9], [0.2, 0.1], [0.9, 0.2])
    assert Evidence(relevance).pseudo_labels(0.5).tolist() == [[3, 1]]


def test_254_classes():
    relevance = np.zeros((254, 1, 254), np.float32)
    relevance[np.arange(254), 0, np.arange(254)] = 1
    np.testing.assert_array_equal(Evidence(relevance).pseudo_labels(0.5)[0], np.arange(1, 255))
    np.testing.assert_array_equal(decide(relevance, 0.5)[0], np.arange(1, 255))


def test_the_threshold_is_live():
    """Under 100 ms for two megapixels, whatever the number of classes."""
    relevance = np.random.default_rng(0).random((3, 1250, 1600), np.float32)
    evidence = Evidence(relevance)
    seconds = []
    for threshold in np.linspace(0.2, 0.8, 7):
        start = time.thread_time()
        evidence.pseudo_labels(float(threshold))
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.1


@given(MAPS)
def test_normalised_maps_lie_within_0_and_1(relevance):
    maps = normalise(torch.from_numpy(relevance * 3 - 1))
    assert maps.shape == relevance.shape
    assert maps.min() >= 0
    assert maps.max() <= 1 + 1e-6


def test_a_faint_class_is_not_swallowed_by_a_strong_one():
    maps = torch.tensor([[[100.0, 0.0, 0.0]], [[0.0, 0.01, -5.0]]])
    assert decide(normalise(maps).numpy(), 0.5).tolist() == [[1, 2, 0]]


def test_what_a_small_thing_shares_with_a_large_one_does_not_hide_it():
    """A spoon beside its cup: both like the cup, only one likes the spoon."""
    cup, spoon = [1.0, 0.9, 0.3], [0.95, 0.8, 1.0]
    maps = normalise(torch.tensor([[cup], [spoon]])).numpy()
    labels = Evidence(maps).pseudo_labels(0.4)[0]
    assert labels[2] == 2
    assert maps[1, 0, 2] == 1
    assert maps[1, 0, 0] < 0.8


def test_a_class_without_evidence_is_empty():
    maps = normalise(torch.tensor([[[-1.0, -2.0]], [[0.5, 1.0]]]))
    assert not maps[0].any()
    assert decide(maps.numpy(), 0.4).tolist() == [[2, 2]]
