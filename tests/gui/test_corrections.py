"""Trackers against a real label layer: no order of strokes, undo and results loses a decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Labels

from napari_wildseg.engine.errors import InputError
from napari_wildseg.gui.annotation.correction_history import Tracker
from napari_wildseg.gui.annotation.decisions import (
    UNLABELLED,
    Patch,
    PlaneSnapshots,
    from_corrections,
    merge,
    to_corrections,
)
from napari_wildseg.gui.annotation.tracked_layer import TrackedLayer
from napari_wildseg.gui.layers.display import Plane

PLANE = Plane((None, None))


def tracked(data: np.ndarray) -> tuple[TrackedLayer, Labels]:
    layer = Labels(data.copy())
    ours = TrackedLayer(layer)
    ours.tracker(PLANE)
    layer.events.paint.connect(lambda event: ours.note_paint())
    layer.events.set_data.connect(lambda event: ours.note_refresh())
    return ours, layer


def decided(ours: TrackedLayer) -> list:
    return ours.decided(PLANE).tolist()


def test_a_stroke_is_a_decision_and_survives_the_next_results():
    ours, layer = tracked(np.zeros((3, 3), np.uint8))
    layer.data_setitem((np.array([0]), np.array([1])), 2)
    for fill in (1, 3):
        ours.write(PLANE, np.full((3, 3), fill, np.uint8))
        assert layer.data[0, 1] == 2
        assert (layer.data == fill).sum() == 8
        assert ours.decided(PLANE)[0, 1] == 2
        assert (ours.decided(PLANE) != UNLABELLED).sum() == 1


def test_undo_of_a_result_brings_back_pixels_and_decisions():
    ours, layer = tracked(np.zeros((3, 3), np.uint8))
    layer.data_setitem((np.array([0]), np.array([1])), 2)
    before = layer.data.copy()
    ours.write(PLANE, np.full((3, 3), 1, np.uint8))
    layer.undo()
    assert (layer.data == before).all()
    assert (ours.decided(PLANE) != UNLABELLED).sum() == 1, "the undone result is no decision"
    layer.undo()
    assert (ours.decided(PLANE) == UNLABELLED).all()
    layer.redo()
    layer.redo()
    assert (ours.decided(PLANE) != UNLABELLED).sum() == 1


def test_painting_a_result_back_by_hand_is_a_decision():
    ours, layer = tracked(np.zeros((2, 2), np.uint8))
    ours.write(PLANE, np.array([[1, 0], [0, 0]], np.uint8))
    layer.data_setitem((np.array([0]), np.array([0])), 0)
    layer.refresh()
    assert decided(ours) == [[0, UNLABELLED], [UNLABELLED, UNLABELLED]]


def test_painting_not_sure_takes_a_decision_back():
    ours, layer = tracked(np.zeros((2, 2), np.uint8))
    layer.data_setitem((np.array([0]), np.array([0])), 1)
    ours.write(PLANE, np.zeros((2, 2), np.uint8))
    layer.data_setitem((np.array([0]), np.array([0])), UNLABELLED)
    assert decided(ours) == [[UNLABELLED] * 2] * 2


def test_confirmed_pixels_stay_whatever_the_result():
    ours, layer = tracked(np.array([[1, 1], [2, 0]], np.uint8))
    tracker = ours.tracker(PLANE)
    assert tracker.confirm(layer.data == 1, layer.data) == 2
    assert tracker.confirm(layer.data == 1, layer.data) == 0
    ours.write(PLANE, np.full((2, 2), 3, np.uint8))
    assert layer.data.tolist() == [[1, 1], [3, 3]]


def test_released_pixels_are_free_again():
    ours, layer = tracked(np.zeros((2, 2), np.uint8))
    layer.data_setitem((np.array([0]), np.array([0])), 1)
    ours.tracker(PLANE).release(layer.data)
    assert decided(ours) == [[UNLABELLED] * 2] * 2
    assert layer.data[0, 0] == 1


def test_removed_label_leaves_pixels_and_decisions():
    ours, layer = tracked(np.array([[1, 2], [0, 0]], np.uint8))
    layer.data_setitem((np.array([1, 1]), np.array([0, 1])), np.array([1, 2]))
    ours.remove_label(1, 0)
    assert layer.data.tolist() == [[0, 2], [0, 2]]
    assert decided(ours) == [[UNLABELLED, UNLABELLED], [UNLABELLED, 2]]


def test_dragging_a_slider_leaves_one_undo_step():
    ours, layer = tracked(np.zeros((4, 4), np.uint8))
    for value in (1, 2, 3):
        ours.write(PLANE, np.full((4, 4), value, np.uint8), preview=True)
    assert (layer.data == 3).all()
    layer.undo()
    assert (layer.data == 0).all()


def test_a_stroke_between_two_previews_is_kept():
    ours, layer = tracked(np.zeros((4, 4), np.uint8))
    ours.write(PLANE, np.full((4, 4), 1, np.uint8), preview=True)
    layer.data_setitem((np.array([0]), np.array([0])), 7)
    ours.write(PLANE, np.full((4, 4), 2, np.uint8), preview=True)
    assert layer.data[0, 0] == 7
    assert (layer.data == 2).sum() == 15


def test_merge_lets_the_refined_labels_win():
    none = np.full((1, 3), UNLABELLED, np.uint8)
    assert merge(none, None) is None
    merged = merge(np.array([[1, 1, 255]], np.uint8), np.array([[255, 2, 255]], np.uint8))
    assert merged.tolist() == [[1, 2, 255]]
    assert to_corrections(merged).tolist() == [[1, 2, -1]]
    assert to_corrections(None) is None
    assert from_corrections(to_corrections(merged)).tolist() == merged.tolist()


def test_patch_round_trip():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 20, 30)).astype(np.uint8)
    patch = Patch.between(a, b)
    assert patch.is_reverted(a)
    assert patch.is_applied(b)
    assert (patch.applied(a) == b).all()
    assert (patch.reverted(b) == a).all()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), st.integers(0, 24), st.integers(0, 3)),
        st.tuples(st.just("result"), st.integers(0, 2**16), st.just(0)),
        st.tuples(st.just("undo"), st.just(0), st.just(0)),
        st.tuples(st.just("redo"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@given(ACTIONS)
def test_history_in_any_order(actions):
    """An oracle that remembers each state with its decisions agrees after every action."""
    layer_start = np.zeros((5, 5), np.uint8)
    ours, layer = tracked(layer_start)
    past: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    future: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    nothing = np.full((5, 5), UNLABELLED, np.uint8)
    pixels, automatic, kept = layer_start.copy(), layer_start.copy(), nothing.copy()
    for action, number, label in actions:
        if action == "paint":
            where = np.unravel_index(number, (5, 5))
            if pixels[where] == label:
                continue
            past.append((pixels, automatic, kept))
            future.clear()
            pixels, kept = pixels.copy(), kept.copy()
            pixels[where] = label
            layer.data_setitem(tuple(np.array([i]) for i in where), label)
        elif action == "result":
            result = np.random.default_rng(number).integers(0, 4, (5, 5)).astype(np.uint8)
            changed = pixels != automatic
            now_kept = np.where(changed, pixels, kept)
            shown = np.where(now_kept != UNLABELLED, now_kept, result).astype(np.uint8)
            if (shown == pixels).all():
                continue
            past.append((pixels, automatic, kept))
            future.clear()
            pixels, automatic, kept = shown, shown.copy(), now_kept
            ours.write(PLANE, result)
        elif action == "undo" and past:
            future.append((pixels, automatic, kept))
            pixels, automatic, kept = past.pop()
            layer.undo()
        elif action == "redo" and future:
            past.append((pixels, automatic, kept))
            pixels, automatic, kept = future.pop()
            layer.redo()
        assert (layer.data == pixels).all()
        expected = np.where(pixels != automatic, pixels, kept)
        np.testing.assert_array_equal(ours.decided(PLANE), expected)


def test_tracker_notices_nothing_when_nothing_was_written():
    tracker = Tracker(np.zeros((2, 2), np.uint8))
    assert not tracker.follow_history(np.ones((2, 2), np.uint8))


@pytest.mark.parametrize("value", [300, -5])
def test_what_is_no_label_stays_and_is_told(value):
    ours, layer = tracked(np.zeros((2, 2), np.uint8))
    layer.data = layer.data.astype(np.int32)
    layer.data_setitem((np.array([0, 1]), np.array([0, 0])), np.array([value, 1]))
    assert decided(ours) == [[UNLABELLED, UNLABELLED], [1, UNLABELLED]]
    with pytest.raises(InputError, match=f"Label {value} is in the layer"):
        PlaneSnapshots({"labels": ours.snapshot(PLANE)}).corrections([1])
    ours.write(PLANE, np.full((2, 2), 2, np.uint8))
    assert layer.data.tolist() == [[value, 2], [1, 2]]
    layer.undo()
    assert layer.data.tolist() == [[value, 0], [1, 0]]
    layer.redo()
    ours.remove_label(2, 0)
    assert layer.data.tolist() == [[value, 0], [1, 0]]
    ours.tracker(PLANE).release(layer.data)
    assert decided(ours) == [[UNLABELLED] * 2] * 2


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16, np.uint64])
def test_layers_converted_to_another_type_still_work(dtype):
    ours, layer = tracked(np.zeros((2, 2), np.uint8))
    layer.data = layer.data.astype(dtype)
    layer.data_setitem((np.array([0]), np.array([0])), 1)
    ours.write(PLANE, np.full((2, 2), 2, np.uint8))
    assert layer.data.tolist() == [[1, 2], [2, 2]]
