"""Metrics against naive references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wildseg.evaluation.metrics import (
    Confusion,
    boundary_f,
    image_ious,
    mean_iou,
)

VALUES = st.sampled_from([0, 1, 2, 7, 255])
PAIR = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(
        arrays(np.uint8, shape, elements=VALUES),
        arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 7])),
    )
)


def naive_iou(pairs, value):
    """Pixel by pixel, in plain Python."""
    both = either = occurs = 0
    for truth, labels in pairs:
        for t, p in zip(truth.ravel().tolist(), labels.ravel().tolist(), strict=True):
            if t == 255:
                continue
            occurs += t == value
            both += t == value and p == value
            either += t == value or p == value
    return (both / either, occurs) if either else (None, occurs)


@given(st.lists(PAIR, min_size=1, max_size=4))
def test_iou_over_a_set_is_the_naive_one(pairs):
    confusion = Confusion()
    for truth, labels in pairs:
        confusion.add(truth, labels)
    expected = {
        value: iou for value in (0, 1, 2, 7) for iou, occurs in [naive_iou(pairs, value)] if occurs
    }
    assert confusion.iou() == pytest.approx(expected)
    if expected:
        assert confusion.miou() == pytest.approx(np.mean(list(expected.values())))
    else:
        assert np.isnan(confusion.miou())


@given(PAIR)
def test_iou_of_one_image(pair):
    found = image_ious(*pair, [1, 2, 7])
    for value, iou in found.items():
        expected = naive_iou([pair], value)[0]
        assert iou == pytest.approx(1.0 if expected is None else expected)
    assert mean_iou(*pair, [1, 7]) == pytest.approx((found[1] + found[7]) / 2)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="labels are"):
        Confusion().add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def naive_boundary(region, valid):
    height, width = region.shape
    points = []
    for y in range(height):
        for x in range(width):
            if not (region[y, x] and valid[y, x]):
                continue
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < height and 0 <= u < width and not region[v, u] and valid[v, u]:
                    points.append((y, x))
                    break
    return points


def naive_boundary_f(truth, labels, value, tolerance):
    valid = truth != 255
    true, found = naive_boundary(truth == value, valid), naive_boundary(labels == value, valid)
    if not true or not found:
        return 1.0 if bool(true) == bool(found) else 0.0

    def share(points, others):
        near = [
            min((y - v) ** 2 + (x - u) ** 2 for v, u in others) <= tolerance**2 for y, x in points
        ]
        return sum(near) / len(near)

    precision, recall = share(found, true), share(true, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(PAIR, st.sampled_from([0.0, 1.0, 2.0]))
def test_boundary_f_is_the_naive_one(pair, tolerance):
    expected = np.mean([naive_boundary_f(*pair, value, tolerance) for value in (1, 2)])
    assert boundary_f(*pair, [1, 2], tolerance=tolerance) == pytest.approx(expected)


def test_boundary_f_forgives_two_pixels_and_no_more():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:30, 10:30] = 1
    moved = {n: np.roll(truth, n, axis=1) for n in (0, 2, 6)}
    assert boundary_f(truth, moved[0], [1]) == 1
    assert boundary_f(truth, moved[2], [1]) == 1
    assert 0.3 < boundary_f(truth, moved[6], [1]) < 0.8
