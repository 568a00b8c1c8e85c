"""What a refinement may not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_wildseg.engine.changes import alarming, changes_between, describe
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.limits import Limits, new_strokes, within

LABELS = arrays(np.uint8, (19, 23), elements=st.integers(0, 4))
CLASSES = parse_classes("cat, dog, sky, grass")


@given(LABELS, LABELS, arrays(np.bool_, (19, 23)), st.floats(0, 30))
def test_nothing_beyond_the_distance_changes(before, after, painted, near):
    found = Limits(near=near).apply(before, after, painted)
    far = ndimage.distance_transform_edt(~painted) > near if painted.any() else True
    assert not ((found != before) & far).any()
    assert ((found == after) | far).all()


@given(LABELS, LABELS, st.sets(st.integers(0, 4)))
def test_locked_classes_lose_and_get_nothing(before, after, locked):
    found = Limits(locked=tuple(locked)).apply(before, after, None)
    for label in range(5):
        if label in locked:
            np.testing.assert_array_equal(found == label, before == label)
    free = ~np.isin(before, list(locked)) & ~np.isin(after, list(locked))
    np.testing.assert_array_equal(found[free], after[free])


def test_corrections_are_above_every_limit():
    before = np.ones((8, 8), np.uint8)
    after = np.full((8, 8), 2, np.uint8)
    corrections = np.full((8, 8), -1, np.int16)
    corrections[0, 0] = 2
    found = Limits(near=0, locked=(1,)).apply(before, after, None, corrections)
    assert found[0, 0] == 2
    assert (found.ravel()[1:] == 1).all()


@pytest.mark.parametrize("strokes", [1, 3, 400])
def test_distance_of_few_and_many_strokes(strokes):
    painted = np.zeros((90, 120), bool)
    random = np.random.default_rng(strokes)
    painted[random.integers(0, 90, strokes), random.integers(0, 120, strokes)] = True
    for near in (0, 1, 7.5, 500):
        expected = ndimage.distance_transform_edt(~painted) <= near
        np.testing.assert_array_equal(within(painted, near), expected)
    assert not within(np.zeros((5, 5), bool), 3).any()


def test_what_was_painted_since():
    earlier = np.int16([[-1, 1, 2, 2]])
    now = np.int16([[1, 1, -1, 3]])
    assert new_strokes(now, earlier).tolist() == [[True, False, True, True]]
    assert new_strokes(now, None).tolist() == [[True, True, False, True]]
    assert new_strokes(None, earlier).tolist() == [[False, True, True, True]]
    assert new_strokes(None, None) is None


def test_limits_are_checked():
    assert Limits.checked(3, ["dog", 1, "background"], CLASSES) == Limits(3.0, (0, 1, 2))
    assert Limits.checked(None, "sky", CLASSES).locked == (3,)
    assert not Limits.checked(None, (), CLASSES)
    for near in (-1, float("nan"), float("inf"), "12", True):
        with pytest.raises(InputError, match="number of pixels"):
            Limits.checked(near, (), CLASSES)
    with pytest.raises(InputError, match="no class 'cow' to lock; the classes are: cat, dog"):
        Limits.checked(None, ["cow"], CLASSES)


def test_changes_are_counted_and_named():
    before = np.repeat(np.uint8([0, 1, 2, 3]), 100).reshape(20, 20)
    after = before.copy()
    after.flat[100:180] = 2  # 80 of 100 cats become dog
    after.flat[300:310] = 0
    changes = changes_between(before, after)
    assert [(c.label, c.before, c.lost, c.gained) for c in changes] == [
        (0, 100, 0, 10),
        (1, 100, 80, 0),
        (2, 100, 0, 80),
        (3, 100, 10, 0),
    ]
    names = {info.id: info.name for info in CLASSES}
    assert [c.label for c in alarming(changes, [2])] == [1]
    assert alarming(changes, [1]) == []
    assert describe(changes, names, [2]) == "cat -80 %, dog +80 %, background +10 %"
    assert describe(changes_between(before, before), names) == ""


def test_a_class_that_moved_elsewhere_is_alarming_though_its_area_is_the_same():
    before = np.uint8([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    after = np.uint8([[0, 0, 1, 1, 1, 1, 0, 0, 0, 0]])
    changes = changes_between(before, after)
    assert [c.label for c in alarming(changes, [])] == [1]
    assert describe(changes, {1: "cat"}) == "cat -50 % +50 %"


def test_new_classes_and_tiny_changes():
    before = np.zeros((100, 100), np.uint8)
    after = before.copy()
    after[0, :20] = 2
    assert describe(changes_between(before, after), {2: "dog"}, [2]) == "dog is new"
