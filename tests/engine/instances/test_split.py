"""Class labels to objects: what is split, what stays whole, what strokes do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.instances import CUT, drawn_as, split, split_stack, update

ROWS, COLUMNS = np.mgrid[:80, :120]


def disc(y: float, x: float, radius: float) -> NDArray[np.bool_]:
    return (ROWS - y) ** 2 + (COLUMNS - x) ** 2 < radius**2


def mask_of(*discs: NDArray[np.bool_], value: int = 1) -> NDArray[np.uint8]:
    return np.where(np.any(discs, axis=0), value, 0).astype(np.uint8)


def count(ids: NDArray[np.int32]) -> int:
    return len(np.unique(ids[ids > 0]))


TOUCHING = mask_of(disc(40, 30, 14), disc(40, 54, 14), disc(40, 95, 12))


@pytest.mark.parametrize("radius", [5, 8, 14, 20])
def test_two_discs_that_touch_are_two_objects_of_any_size(radius: int) -> None:
    one, other = disc(40, 30, radius), disc(40, 30 + 1.75 * radius, radius)
    ids = split(mask_of(one, other))
    assert count(ids) == 2
    true = 1 + (30 + 0.875 * radius <= COLUMNS)
    inside = ids > 0
    assert (ids[inside] == true[inside]).mean() > 0.95


@pytest.mark.parametrize(
    "mask",
    [
        mask_of(disc(40, 40, 20)),
        mask_of(((ROWS - 40) / 10) ** 2 + ((COLUMNS - 60) / 30) ** 2 < 1),
        mask_of((abs(ROWS - 40) < 6) & (abs(COLUMNS - 60) < 50)),
        mask_of((abs(ROWS - 40) < 20) & (abs(COLUMNS - 60) < 50)),
    ],
    ids=["disc", "ellipse", "bar", "box"],
)
def test_convex_objects_stay_whole(mask: NDArray[np.uint8]) -> None:
    assert count(split(mask)) == 1


def test_an_edge_in_the_image_splits_what_the_shape_leaves_open() -> None:
    labels = mask_of(disc(40, 40, 14), disc(40, 60, 14))
    bright = np.where(COLUMNS < 50, 90, 200).astype(np.uint8)
    image = np.repeat(np.where(labels > 0, bright, 10)[..., None], 3, axis=2).astype(np.uint8)
    plain = np.repeat(np.where(labels > 0, 150, 10)[..., None], 3, axis=2).astype(np.uint8)
    assert count(split(labels, image=image)) == 2
    assert count(split(labels, image=plain)) <= count(split(labels, image=image))


def test_ids_run_from_one_in_reading_order_and_the_same_input_gives_the_same_bytes() -> None:
    ids = split(TOUCHING)
    assert ids.dtype == np.int32
    assert ids.tobytes() == split(TOUCHING).tobytes()
    numbers, first = np.unique(ids, return_index=True)
    assert numbers.tolist() == [0, 1, 2, 3]
    assert (np.diff(first[1:]) > 0).all()
    assert ((ids > 0) == (TOUCHING > 0)).all()


def test_stuff_is_one_object_and_unlabelled_pixels_are_none() -> None:
    labels = mask_of(disc(20, 20, 10), disc(20, 100, 10))
    labels[60:] = 2
    labels[70:, 40:80] = 0
    labels[:5] = 255
    ids = split(labels, classes=[1])
    assert count(ids) == 3
    assert len(np.unique(ids[labels == 2])) == 1
    assert not ids[labels == 255].any()
    assert count(split(labels, classes=[])) == 2


def test_specks_are_dropped_and_strokes_keep_them() -> None:
    labels = mask_of(disc(40, 40, 12), disc(40, 90, 3))
    assert count(split(labels, min_size=60)) == 1
    strokes = np.full(labels.shape, -1)
    strokes[40, 90] = 7
    ids = split(labels, min_size=60, strokes=strokes)
    assert set(np.unique(ids)) == {0, 1, 7}


def test_a_thin_gap_is_joined_and_a_wide_one_is_not() -> None:
    labels = mask_of((abs(ROWS - 40) < 8) & (abs(COLUMNS - 60) < 40))
    labels[:, 58:61] = 0
    labels[:, 80:88] = 0
    assert count(split(labels)) == 3
    assert count(split(labels, join_gap=2)) == 3
    assert count(split(labels, join_gap=3)) == 2
    strokes = np.full(labels.shape, -1)
    strokes[:, 59] = CUT
    assert count(split(labels, join_gap=3, strokes=strokes)) == 3


def test_a_cut_splits_and_its_pixels_go_to_a_side() -> None:
    labels = mask_of(disc(40, 40, 15))
    strokes = np.full(labels.shape, -1)
    strokes[40, 20:60] = CUT
    ids = split(labels, strokes=strokes)
    assert count(ids) == 2
    assert ((ids > 0) == (labels > 0)).all()
    strokes[40, 20:60] = 0  # background instead: the same, and the pixels are gone
    ids = split(labels, strokes=strokes)
    assert count(ids) == 2
    assert not ids[40].any()


def test_a_stroke_over_two_objects_merges_them() -> None:
    strokes = np.full(TOUCHING.shape, -1)
    strokes[40, 30:55] = 9
    ids = split(TOUCHING, strokes=strokes)
    assert count(ids) == 2
    assert (ids[TOUCHING * (COLUMNS < 75) > 0] == 9).all()


def test_two_ids_in_one_object_divide_it_at_its_narrowest() -> None:
    labels = mask_of(disc(40, 40, 14), disc(40, 56, 14))
    strokes = np.full(labels.shape, -1)
    strokes[40, 36], strokes[40, 60] = 3, 4
    ids = split(labels, strokes=strokes)
    assert set(np.unique(ids)) == {0, 3, 4}
    inside = labels > 0
    assert (np.where(COLUMNS < 48, 3, 4)[inside] == ids[inside]).mean() > 0.95


def test_a_drawn_object_is_what_was_painted() -> None:
    labels = mask_of(disc(40, 40, 15))
    strokes = np.full(labels.shape, -1)
    strokes[30:38, 30:80] = drawn_as(12)
    ids = split(labels, strokes=strokes)
    assert ((ids == 12) == (strokes == drawn_as(12))).all()


def test_ids_are_kept_when_the_labels_change() -> None:
    before = split(TOUCHING)
    less = TOUCHING.copy()
    less[:, :20] = 0
    less |= mask_of(disc(8, 8, 7))
    after = split(less, previous=before)
    for x in (35, 60, 95):
        assert after[40, x] == before[40, x]
    assert after[8, 8] == 4
    gone = np.where(COLUMNS < 75, 0, TOUCHING).astype(np.uint8)
    assert np.unique(split(gone, previous=before)).tolist() == [0, before[40, 95]]


@settings(max_examples=settings.default.max_examples // 4)
@given(
    discs=st.lists(
        st.tuples(st.integers(0, 79), st.integers(0, 119), st.integers(3, 16), st.integers(1, 2)),
        min_size=1,
        max_size=9,
    ),
    lines=st.lists(
        st.tuples(st.integers(0, 79), st.integers(0, 110), st.sampled_from([CUT, 0, 1, 5])),
        min_size=1,
        max_size=4,
    ),
    gap=st.sampled_from([0, 2]),
    with_image=st.booleans(),
)
def test_every_stroke_is_kept_and_the_touched_region_is_enough(
    discs: list[tuple[int, int, int, int]],
    lines: list[tuple[int, int, int]],
    gap: int,
    with_image: bool,
) -> None:
    labels = np.zeros((80, 120), np.uint8)
    for y, x, radius, value in discs:
        labels[disc(y, x, radius)] = value
    image = None
    if with_image:
        noise = np.random.default_rng(0).integers(0, 40, (80, 120, 3))
        image = (noise + 100 * labels[..., None]).astype(np.uint8)
    before = split(labels, image=image, join_gap=gap)
    strokes = np.full(labels.shape, -1)
    for y, x, value in lines:
        strokes[y, x : x + 30] = value
    full = split(labels, image=image, join_gap=gap, strokes=strokes, previous=before)
    assert (full[strokes >= 0] == strokes[strokes >= 0]).all()
    if not (strokes > 0).any():  # a stroke may merge what else is not touched
        part = update(before, labels, strokes != -1, None, image, join_gap=gap, strokes=strokes)
        np.testing.assert_array_equal(part, full)


def test_an_update_follows_the_labels() -> None:
    before = split(TOUCHING)
    labels = TOUCHING.copy()
    labels[:, 88:96] = 0
    after = update(before, labels, labels != TOUCHING)
    np.testing.assert_array_equal(after, split(labels, previous=before))
    assert (after[:, :75] == before[:, :75]).all()


def test_ids_go_on_along_a_stack() -> None:
    planes = [mask_of(disc(40, 30 + 3 * z, 12), disc(40, 90, 12 - 4 * z)) for z in range(3)]
    planes[2] |= mask_of(disc(8, 110, 6))
    ids = split_stack(np.stack(planes))
    assert ids[0, 40, 30] == ids[1, 40, 33] == ids[2, 40, 36]
    assert ids[0, 40, 90] == ids[1, 40, 90] == ids[2, 40, 90]
    assert ids[2, 8, 110] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"labels": np.zeros((2, 3, 4), np.uint8)}, "class ids"),
        ({"labels": np.full((4, 4), 300)}, "0 to 255"),
        ({"labels": np.zeros((4, 4)), "image": None}, "class ids"),
        ({"image": np.zeros((4, 5, 3), np.uint8)}, "of the labels' size"),
        ({"strokes": np.zeros((4, 5), int)}, "labels' shape"),
        ({"strokes": np.full((4, 4), 2**31)}, "32 bits"),
        ({"min_size": -1}, "0 or more"),
        ({"previous": np.zeros((2, 2), np.int32)}, "another shape"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        split(**{"labels": np.zeros((4, 4), np.uint8), **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [np.zeros((5, 6), np.uint8), np.ones((5, 6), np.uint8)])
def test_empty_and_full_labels(labels: NDArray[np.uint8]) -> None:
    assert count(split(labels)) == int(labels.max())
    assert count(split(labels, image=np.zeros((5, 6, 3), np.uint8), min_size=3)) == labels.max()


def test_objects_need_no_torch() -> None:
    code = (
        "import sys, numpy as np, napari_wildseg.engine.instances as i;"
        "i.split(np.ones((5, 5), np.uint8)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
