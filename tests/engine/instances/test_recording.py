"""What is painted over objects becomes strokes that every later split obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_wildseg.engine.instances import CUT, record, split, update

ROWS, COLUMNS = np.mgrid[:80, :120]


def disc(y: float, x: float, radius: float) -> NDArray[np.bool_]:
    return (ROWS - y) ** 2 + (COLUMNS - x) ** 2 < radius**2


LABELS = (disc(40, 24, 14) | disc(40, 48, 14) | disc(40, 90, 16)).astype(np.uint8)
NONE = np.full(LABELS.shape, -1, np.int32)
BEFORE = split(LABELS)
ONE, TWO, THREE = (int(BEFORE[40, x]) for x in (24, 48, 90))


def after(
    objects: NDArray[np.int32],
    strokes: NDArray[np.int32],
    where: object,
    value: int,
    labels: NDArray[np.uint8] = LABELS,
    *,
    cut: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Paint, and return objects and strokes; `update` and `split` have to agree."""
    painted = objects.copy()
    painted[where] = value
    new = record(strokes, objects, painted, cut=cut)
    changed = (new != strokes) | (painted != objects)
    found = update(objects, labels, changed, strokes=new)
    assert np.array_equal(found, split(labels, strokes=new, previous=objects))
    return found, new


def ids(objects: NDArray[np.int32]) -> set[int]:
    return set(np.unique(objects[objects > 0]).tolist())


def grown(labels: NDArray[np.uint8], by: int = 3) -> NDArray[np.uint8]:
    from scipy import ndimage

    return ndimage.binary_dilation(labels > 0, iterations=by).astype(np.uint8)


ACROSS = np.s_[40, 20:94]
DOWN_THREE = (abs(COLUMNS - 90) < 1) & (ROWS > 20) & (ROWS < 60)


def test_one_id_over_two_objects_merges_them_and_what_lies_between() -> None:
    objects, strokes = after(BEFORE, NONE, np.s_[40, 24:94], ONE)
    assert ids(objects) == {ONE}
    assert (objects[40, 24:94] == ONE).all()
    # It holds when the labels change.
    assert ids(split(grown(LABELS, 1), strokes=strokes, previous=objects)) == {ONE}


def test_a_merge_takes_the_other_objects_strokes_along() -> None:
    objects, strokes = after(BEFORE, NONE, np.s_[36:44, 44:52], TWO)
    objects, strokes = after(objects, strokes, np.s_[40, 24:94], THREE)
    assert ids(objects) == {THREE}
    assert TWO not in strokes


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "eraser"])
def test_a_cut_or_the_eraser_divides_and_both_pieces_keep_their_ids(cut: bool) -> None:
    objects, strokes = after(BEFORE, NONE, DOWN_THREE, 0, cut=cut)
    left, right = int(objects[40, 82]), int(objects[40, 98])
    assert left != right
    assert THREE in (left, right)
    assert ids(objects) == {ONE, TWO, left, right}
    erased = (BEFORE > 0) & (objects == 0)
    assert erased.any() is not np.bool_(cut), "a cut takes no pixel away"
    # The pieces stay apart where the mask has grown round the ends of the cut.
    again = split(grown(LABELS), strokes=strokes, previous=objects)
    assert (again[40, 82], again[40, 98]) == (left, right)
    assert again[23, 90] in (left, right)


def test_a_cut_across_an_earlier_merge_divides_it_again() -> None:
    objects, strokes = after(BEFORE, NONE, np.s_[38:43, 20:94], ONE)
    assert ids(objects) == {ONE}
    down = (abs(COLUMNS - 68) < 2) & (ROWS > 10)
    objects, strokes = after(objects, strokes, down, 0, cut=True)
    west, east = int(objects[40, 24]), int(objects[40, 90])
    assert west == ONE, "the larger piece keeps the id"
    assert east not in (0, ONE)
    assert objects[40, 48] == ONE
    again = split(grown(LABELS, 1), strokes=strokes, previous=objects)
    assert (again[40, 24], again[40, 90]) == (west, east)


def test_a_cut_that_ends_inside_divides_nothing() -> None:
    objects, _ = after(BEFORE, NONE, np.s_[30:36, 90], 0, cut=True)
    assert np.array_equal(objects, BEFORE)


def test_a_new_id_is_an_object_of_exactly_the_painted_pixels() -> None:
    new = 50
    where = np.s_[10:40, 80:86]
    objects, strokes = after(BEFORE, NONE, where, new)
    expected = np.zeros(LABELS.shape, bool)
    expected[where] = True
    assert ((objects == new) == expected).all()
    assert objects[40, 95] == THREE
    again = split(grown(LABELS), strokes=strokes, previous=objects)
    assert ((again == new) == expected).all()
    # It can be merged like any other object.
    merged, _ = after(objects, strokes, np.s_[38, 80:100], THREE)
    assert new not in ids(merged)
    assert merged[12, 82] == THREE


def test_a_new_id_across_an_object_leaves_two_pieces_with_ids_of_their_own() -> None:
    objects, _ = after(BEFORE, NONE, np.s_[20:60, 88:92], 50)
    assert len({int(objects[40, 80]), 50, int(objects[40, 100])}) == 3


def test_a_new_id_over_all_of_an_object_only_renames_it() -> None:
    objects, strokes = after(BEFORE, NONE, BEFORE == THREE, 50)
    assert ids(objects) == {ONE, TWO, 50}
    again = split(grown(LABELS), strokes=strokes, previous=objects)
    assert again[40, 90] == 50
    assert again[40, 107] == 50, "it follows the labels"


def test_neighbours_of_what_is_cut_stay_as_they_are() -> None:
    down = (abs(COLUMNS - 44) < 1) & (ROWS > 20) & (ROWS < 60)
    objects, _ = after(BEFORE, NONE, down, 0, cut=True)
    assert (objects == ONE).sum() == (BEFORE == ONE).sum()


def test_slivers_beside_a_cut_are_no_objects() -> None:
    ragged = ((COLUMNS == 90) & (ROWS % 3 > 0)) | ((COLUMNS == 91) & (ROWS % 3 != 1))
    ragged |= (COLUMNS == 89) & (ROWS % 3 != 1)
    objects, _ = after(BEFORE, NONE, ragged, 0, cut=True)
    assert len(ids(objects)) == 4


def test_ids_of_pieces_are_new_in_the_whole_layer() -> None:
    painted = BEFORE.copy()
    painted[DOWN_THREE] = 0
    strokes = record(NONE, BEFORE, painted, cut=True, first_new=700)
    assert max(ids(split(LABELS, strokes=strokes, previous=BEFORE))) == 700


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_strokes_hold_in_any_order(data: st.DataObject) -> None:
    objects, strokes = BEFORE, NONE
    for _ in range(data.draw(st.integers(1, 4))):
        y, x = data.draw(st.integers(20, 60)), data.draw(st.integers(5, 100))
        where = np.s_[y : y + data.draw(st.integers(1, 30)), x : x + data.draw(st.integers(1, 50))]
        value = data.draw(st.sampled_from([0, ONE, TWO, THREE, 90]))
        cut = value == 0 and data.draw(st.booleans())
        painted = objects.copy()
        painted[where] = value
        new = record(strokes, objects, painted, cut=cut)
        objects, strokes = split(LABELS, strokes=new, previous=objects), new
        if not cut:
            assert (objects[where] == value).all()
    plain = strokes >= 0
    assert (objects[plain] == strokes[plain]).all()
    assert not (strokes == CUT)[objects != 0].any() or (strokes >= CUT).any()
