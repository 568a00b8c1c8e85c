"""Stacks: labels follow what moves, corrections of a plane win in it, and order does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.segmenter import Segmenter
from napari_wildseg.engine.stacks.propagation import look_of, propagate
from napari_wildseg.engine.stacks.segment_stack import plane_order, segment_stack_steps

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (64, 88)
RED = (200, 40, 40)


def frame(at, seed=0):
    """A red disc on grey noise, and where it is."""
    image = np.random.default_rng(seed).integers(95, 125, (*SHAPE, 3), dtype=np.uint8)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disc = (rows - 32) ** 2 + (columns - at) ** 2 < 14**2
    image[disc] = RED
    return image, disc


def movie(n=4):
    frames = [frame(22 + 12 * i, i) for i in range(n)]
    return [image for image, _ in frames], [disc for _, disc in frames]


@pytest.fixture
def segmenter(small_model):
    return Segmenter(small_model("RN"), views="single", background=("sky",))


def test_labels_follow_by_looks():
    (first, second), (there, moved) = movie(2)
    seeds = propagate([(look_of(first, ()), there.astype(int))], look_of(second, ()), 1)
    sure = seeds != 255
    assert sure.mean() > 0.7
    assert (seeds[sure] == moved[sure]).mean() > 0.98
    # What nobody knows does not vote.
    unknown = np.where(there, 1, 255)
    seeds = propagate([(look_of(first, ()), unknown)], look_of(second, ()), 1)
    assert set(np.unique(seeds)) == {1}


def test_own_corrections_win_over_seeds():
    (first, second), (there, _) = movie(2)
    fixed = np.full(SHAPE, -1, np.int16)
    fixed[30:36, 28:40] = 0
    known = [(look_of(first, ()), there.astype(int))]
    seeds = propagate(known, look_of(second, ()), 1, fixed)
    assert (seeds[fixed == 0] == 0).all()


def test_a_corrected_plane_is_carried_through_the_movie(segmenter):
    images, discs = movie(3)
    classes = [ClassInfo(5, "ball", ("ball",), (1, 2, 3))]
    fixed = {0: np.where(discs[0], 5, 0).astype(np.int16)}
    done = {}
    drain(segment_stack_steps(segmenter, images, classes, done.__setitem__, corrections=fixed))
    assert sorted(done) == [0, 1, 2]
    for index, disc in enumerate(discs):
        labels = done[index].labels
        assert set(np.unique(labels)) <= {0, 5}
        both, either = ((labels == 5) & disc).sum(), ((labels == 5) | disc).sum()
        assert both / either > 0.8, index
    np.testing.assert_array_equal(done[0].labels, fixed[0])
    # A neighbour's own corrections are kept, whatever is carried to it.
    fixed[2] = np.full(SHAPE, -1, np.int16)
    fixed[2][30:34, 44:50] = 0
    again = segment_stack_steps(
        segmenter, images, classes, done.__setitem__, corrections=fixed, only=[2]
    )
    drain(again)
    assert (done[2].labels[30:34, 44:50] == 0).all()


def test_without_corrections_planes_are_what_they_are_alone(segmenter, small_model):
    images, _ = movie(2)
    done = {}
    drain(segment_stack_steps(segmenter, images, "ball", done.__setitem__))
    alone = Segmenter(small_model("RN"), views="single", background=("sky",))
    alone.set_image(images[1])
    np.testing.assert_array_equal(done[1].labels, alone.segment("ball").labels)


def test_order():
    turns = list(plane_order(9, [2, 7], range(9)))
    assert sorted(turn.plane for turn in turns) == list(range(9))
    by_plane = {turn.plane: turn for turn in turns}
    assert by_plane[2].anchors == by_plane[7].anchors == ()
    assert by_plane[3].anchors == (2, 7)
    assert by_plane[3].before is None
    assert by_plane[4].before == 3
    assert by_plane[1].anchors == (2,)
    assert by_plane[0].before == 1
    assert by_plane[8].anchors == (7,)
    seen = set()
    for turn in turns:
        assert {*turn.anchors} <= seen
        assert turn.before is None or turn.before in seen
        seen.add(turn.plane)
    assert [t.plane for t in plane_order(9, [], [4, 1])] == [1, 4]
    # Only the next plane: its anchor is done for it, and nothing else.
    assert [t.plane for t in plane_order(9, [2], [3])] == [2, 3]
    assert [t.plane for t in plane_order(9, [2], [5])] == [2, 3, 4, 5]


def test_corrections_of_a_plane_that_is_not_there(segmenter):
    images, _ = movie(2)
    fixed = {5: np.zeros(SHAPE, np.int16)}
    with pytest.raises(InputError, match="plane 5 of 2"):
        drain(segment_stack_steps(segmenter, images, "ball", print, corrections=fixed))
