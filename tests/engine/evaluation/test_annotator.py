"""The simulated annotator."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wildseg.evaluation.annotators.annotator import dabs_to, next_dab, simulate


def scene():
    truth = np.zeros((60, 80), np.uint8)
    truth[10:50, 10:50] = 3
    truth[10:20, 60:75] = 5
    return truth


def test_the_first_dab_is_in_the_middle_of_the_largest_mistake():
    truth = scene()
    dab = next_dab(truth, np.zeros_like(truth), [0, 3, 5])
    assert dab.label == 3
    assert (dab.row, dab.column) == (29, 29)
    rows, columns = np.nonzero(dab.pixels)
    assert ((rows - 29) ** 2 + (columns - 29) ** 2).max() == 64
    assert dab.pixels.sum() == 197  # lattice points of a disc of radius 8


def test_the_image_border_counts_as_outside():
    truth = np.ones((20, 60), np.uint8)
    dab = next_dab(truth, np.zeros_like(truth), [0, 1], radius=3)
    assert dab.row in (9, 10)
    assert 9 <= dab.column <= 50


def test_a_dab_stays_off_other_classes_and_ignored_pixels():
    truth = scene()
    truth[25:30, 25:30] = 255
    truth[31:36, 28:33] = 5
    dab = next_dab(truth, np.zeros_like(truth), [0, 3, 5])
    assert (truth[dab.pixels] == 3).all()


def test_a_stroke_follows_the_middle_of_the_largest_mistake():
    """Round a corner of a band 13 wide, from end to end."""
    truth = np.zeros((70, 90), np.uint8)
    truth[20:33, 10:80] = truth[20:60, 67:80] = 4
    truth[45:55, 10:20] = 2
    stroke = next_dab(truth, np.zeros_like(truth), [0, 2, 4], radius=2, annotator="stroke")
    assert stroke.label == 4
    assert (truth[stroke.pixels] == 4).all()
    rows, columns = np.nonzero(stroke.pixels)
    assert columns.min() < 18
    assert rows.max() > 51
    assert stroke.pixels[24:29, 40].all()
    assert not stroke.pixels[[20, 21, 31, 32], 40].any()
    assert stroke.pixels[45, 71:76].all()
    assert 350 < stroke.pixels.sum() < 600


def test_a_stroke_on_a_single_pixel_is_that_pixel():
    truth = np.zeros((9, 9), np.uint8)
    truth[4, 4] = 1
    stroke = next_dab(truth, np.zeros_like(truth), [0, 1], annotator="stroke")
    assert np.argwhere(stroke.pixels).tolist() == [[4, 4]]
    assert next_dab(truth, truth, [0, 1], annotator="stroke") is None


def test_all_of_the_largest_mistake_can_be_painted():
    truth = scene()
    labels = np.zeros_like(truth)
    labels[10:50, 10:15] = 3
    fill = next_dab(truth, labels, [0, 3, 5], annotator="fill")
    assert fill.label == 3
    np.testing.assert_array_equal(fill.pixels, (truth == 3) & (labels == 0))
    assert next_dab(truth, truth, [0, 3, 5], annotator="fill") is None


def test_an_annotator_with_strokes_needs_fewer(one_thread):
    truth = np.zeros((60, 80), np.uint8)
    truth[20:33, 5:75] = 1
    curves = [
        simulate(
            truth,
            np.zeros_like(truth),
            [1],
            lambda fixed: np.maximum(fixed, 0).astype(np.uint8),
            clicks=1,
            annotator=name,
        )[0]
        for name in ("dab", "stroke")
    ]
    assert curves[1][1] > curves[0][1] + 0.3


def test_background_is_corrected_too():
    truth = scene()
    dab = next_dab(truth, np.full_like(truth, 3), [0, 3, 5])
    assert dab.label == 0


def test_diagonal_neighbours_belong_together():
    truth = np.zeros((8, 8), np.uint8)
    truth[[1, 2, 3, 4], [1, 2, 3, 4]] = 1
    truth[6, 1:4] = 2
    assert next_dab(truth, np.zeros_like(truth), [0, 1, 2]).label == 1


def test_classes_the_annotator_lacks_are_left():
    truth = scene()
    assert next_dab(truth, np.zeros_like(truth), [0, 5]).label == 5
    assert next_dab(truth, np.zeros_like(truth), [0]) is None


def test_nothing_wrong_nothing_painted():
    truth = scene()
    ignored = truth.copy()
    ignored[0, 0] = 255
    assert next_dab(ignored, truth, [0, 3, 5]) is None


@given(
    arrays(np.uint8, (14, 17), elements=st.sampled_from([0, 1, 2, 255])),
    arrays(np.uint8, (14, 17), elements=st.sampled_from([0, 1, 2])),
)
def test_a_dab_always_repairs_something(truth, labels):
    dab = next_dab(truth, labels, [0, 1, 2])
    wrong = (truth != labels) & (truth != 255)
    assert (dab is None) == (not wrong.any())
    if dab is not None:
        assert wrong[dab.row, dab.column]
        assert dab.pixels[dab.row, dab.column]
        assert (truth[dab.pixels] == dab.label).all()


def test_simulation_keeps_every_dab_and_ends_right():
    truth = scene()
    seen = []

    def refine(corrections):
        seen.append(corrections)
        return np.where(corrections >= 0, corrections, 0).astype(np.uint8)

    scores, labels = simulate(truth, np.zeros_like(truth), [3, 5], refine, clicks=60)
    assert len(scores) == 61
    assert scores[0] == 0
    assert scores[-1] == 1
    assert (labels == truth).all()
    assert all(later >= earlier for earlier, later in zip(scores, scores[1:], strict=False))
    for before, after in zip(seen, seen[1:], strict=False):
        assert (after[before >= 0] == before[before >= 0]).all()
    assert len(seen) < 60  # it stops when nothing is wrong


def test_dabs_to():
    assert dabs_to([0.9, 1.0]) == 0
    assert dabs_to([0.1, 0.84, 0.85]) == 2
    assert dabs_to([0.1, 0.2]) == 2
