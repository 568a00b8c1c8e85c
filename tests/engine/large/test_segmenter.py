"""`LargeSegmenter`: bounded reading, corrections that stay, reruns that equal a fresh start."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import zarr
from scipy import ndimage

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.large import Box, LargeImage, LargeSegmenter, priors
from napari_wildseg.engine.large.windows import Level
from napari_wildseg.engine.limits import Limits, new_strokes

from ..test_segmenter import counted_convolutions
from .test_source import Counted

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = "red ball=ball|red ball, lawn"
SHAPE = (250, 230)


def picture(seed=0, shape=SHAPE):
    image = np.random.default_rng(seed).integers(90, 130, (*shape, 3), dtype=np.uint8)
    image[60:150, 40:120] = (200, 30, 40)
    image[180:300, 150:280] = (30, 180, 60)
    return image


@pytest.fixture(scope="module", autouse=True)
def few_superpixels():
    """The time of a window grows with the square of their number."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(priors, "WINDOW_SUPERPIXELS", 300)
        yield


@pytest.fixture
def make(small_model):
    def segmenter(image=None, **options):
        options = {"views": "fast", "background": ("sky",), "tile": 128, **options}
        made = LargeSegmenter(small_model("RN"), **options)
        if image is not None:
            made.set_image(image)
        return made

    return segmenter


@pytest.fixture(scope="module")
def opened_once(small_model, few_superpixels):
    """A segmenter that holds the picture."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = {"views": "fast", "background": ("sky",), "tile": 128}
    segmenter = LargeSegmenter(small_model("RN"), **options)
    segmenter.set_image(picture())
    torch.set_num_threads(threads)
    return segmenter


@pytest.fixture
def opened(opened_once):
    """The same with its first threshold; tests begin with `segment`, which forgets corrections."""
    opened_once.threshold = 0.5
    return opened_once


def corrections_of(*dabs, shape=SHAPE):
    out = np.full(shape, -1, np.int16)
    for y, x, value in dabs:
        out[y - 4 : y + 5, x - 4 : x + 5] = value
    return out


def test_names_to_masks(make, opened):
    segmenter = make(picture())
    result = segmenter.segment(NAMES)
    assert result.labels.shape == SHAPE
    assert result.labels.dtype == np.uint8
    assert set(np.unique(result.labels)) <= {0, 1, 2}
    assert [c.name for c in result.classes] == ["red ball", "lawn"]
    assert result.counts.sum() == SHAPE[0] * SHAPE[1]
    np.testing.assert_array_equal(result.counts, np.bincount(result.labels.ravel(), minlength=256))
    assert result.relevance.shape[0] == 2
    assert 0 <= result.relevance.min() <= result.relevance.max() <= 1
    assert result.settings["detail"] == 1
    assert set(result.seconds) == {"encode", "relevance", "refine"}
    assert opened.segment(NAMES).labels.tobytes() == result.labels.tobytes()


def test_names_change_without_the_network(opened):
    segmenter = opened
    with counted_convolutions() as runs:
        first = segmenter.segment(NAMES).labels.copy()
        segmenter.segment("cat")
        np.testing.assert_array_equal(segmenter.segment(NAMES).labels, first)
        assert segmenter.suggest(["ball", "lawn"], top=1)
        maps = segmenter.name_maps(["ball", "lawn"])
        assert len(maps) == 2
        assert 0 <= maps.min() < maps.max() <= 1
    assert not runs


def test_reading_is_bounded(make):
    """Once reduced, once for the tiles and their halos; never more than a block at a time."""
    array = Counted(picture(shape=(500, 450)))
    segmenter = make(array)
    size = 500 * 450
    patches = 64 * 128 * 128
    assert array.taken <= size + patches
    array.taken = 0
    segmenter.segment(NAMES)
    assert array.taken <= size * ((128 + 2 * 96) / 128) ** 2
    with_pyramid = [Counted(picture(shape=(500, 450))), Counted(picture(shape=(250, 225)))]
    make(with_pyramid, detail=2)
    assert with_pyramid[0].taken <= patches
    assert with_pyramid[1].taken <= 250 * 225


def test_a_dab_makes_few_tiles_anew_and_equals_a_fresh_start(make):
    shape = (600, 130)
    used = make(picture(shape=shape), tile=64)
    every = used.segment(NAMES).tiles
    plain = used.result.labels.copy()
    one = corrections_of((40, 60, 2), shape=shape)
    both = corrections_of((40, 60, 2), (560, 100, 1), shape=shape)
    result = used.refine(one)
    with_one = result.labels.copy()
    assert 0 < result.tiles <= every / 2
    assert (with_one != plain).any()
    result = used.refine(both)
    with_both = result.labels.copy()
    assert 0 < result.tiles <= every / 2
    np.testing.assert_array_equal(with_both[both >= 0], both[both >= 0])
    # Taken back, both at once: from few tiles, as before.
    np.testing.assert_array_equal(used.refine(one).labels, with_one)
    assert used.refine(one).tiles == 0
    np.testing.assert_array_equal(used.refine().labels, plain)
    fresh = make(picture(shape=shape), tile=64)
    fresh.segment(NAMES)
    np.testing.assert_array_equal(fresh.refine(both).labels, with_both)


@pytest.fixture(scope="module")
def corrected(small_model, few_superpixels):
    """A segmenter, corrections of before and after, and the labels of each without limits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shape = (230, 200)
    segmenter = LargeSegmenter(
        small_model("RN"), views="single", background=("sky",), tile=128, detail=1
    )
    segmenter.set_image(picture(shape=shape))
    segmenter.segment(NAMES)
    # On a corner of four tiles, at a border, and inside a tile; one of the old ones is released.
    old = corrections_of((200, 40, 1), (128, 160, 1), shape=shape)
    new = corrections_of((200, 40, 1), (128, 128, 2), (60, 20, 0), shape=shape)
    free = [segmenter.refine(dabs).labels.copy() for dabs in (old, new)]
    torch.set_num_threads(threads)
    return segmenter, old, new, *free


def test_near_strokes_nothing_farther_off_changes(corrected):
    segmenter, old, new, before, free = corrected
    painted = new_strokes(new, old)
    moved = 0
    for near in (9.5, 60):
        segmenter.refine(old)
        result = segmenter.refine(new, near=near)
        far = ndimage.distance_transform_edt(~painted) > near
        assert not ((result.labels != before) & far).any()
        expected = Limits(near=near).apply(before, free, painted, new)
        np.testing.assert_array_equal(result.labels, expected)
        assert result.settings["near"] == near
        counts = np.bincount(result.labels.ravel(), minlength=256)
        np.testing.assert_array_equal(result.counts, counts)
        moved += np.count_nonzero(result.labels != free)
    assert moved > 0
    segmenter.refine(old)
    assert (segmenter.refine(new, near=0).labels != free).any()
    # What was held back is made good by the next refinement without limits.
    result = segmenter.refine(new)
    np.testing.assert_array_equal(result.labels, free)
    assert "near" not in result.settings


def test_near_strokes_few_tiles_are_computed(corrected):
    segmenter, old, _, before, _ = corrected
    segmenter.refine(old)
    one = old.copy()
    one[20:24, 20:24] = 2
    result = segmenter.refine(one, near=3)
    assert result.tiles == 1
    np.testing.assert_array_equal(result.labels[27:], before[27:])


@pytest.mark.parametrize("locked", [["lawn"], [0, "red ball"]])
def test_a_locked_class_loses_and_gets_nothing(corrected, locked):
    segmenter, old, new, before, free = corrected
    segmenter.refine(old)
    labels = segmenter.refine(new, locked=locked).labels
    for label in [2] if locked == ["lawn"] else [0, 1]:
        moved = (labels == label) != (before == label)
        assert not (moved & (new < 0)).any()
    assert ((free != labels) & (new < 0)).any()
    np.testing.assert_array_equal(labels[new >= 0], new[new >= 0])
    np.testing.assert_array_equal(segmenter.refine(new).labels, free)
    with pytest.raises(InputError, match="no class 'cow' to lock"):
        segmenter.refine(new, locked=["cow"])
    with pytest.raises(InputError, match="number of pixels"):
        segmenter.refine(new, near=-1)


def test_corrections_that_their_owner_paints_on_are_compared_with_what_they_were(corrected):
    segmenter, old, _, before, _ = corrected
    segmenter.refine(old)
    corrections = old.copy()
    segmenter.refine(corrections)
    corrections[20:24, 20:24] = 2
    labels = segmenter.refine(corrections, near=5).labels
    assert (labels[20:24, 20:24] == 2).all()
    np.testing.assert_array_equal(labels[29:], before[29:])


def test_every_corrected_pixel_is_kept(make):
    shape = (100, 90)
    segmenter = make(picture(shape=shape), tile=64)
    segmenter.segment(NAMES)
    random = np.random.default_rng(5)
    for share in (0.001, 1.0):
        values = random.integers(0, 3, shape).astype(np.int16)
        fixed = np.where(random.random(shape) < share, values, np.int16(-1))
        labels = segmenter.refine(fixed).labels
        np.testing.assert_array_equal(labels[fixed >= 0], fixed[fixed >= 0])


def test_a_dab_can_bring_in_a_class_that_was_nowhere(opened):
    segmenter = opened
    segmenter.segment(NAMES, threshold=1.0)
    labels = segmenter.refine(corrections_of((100, 80, 1))).labels
    assert np.count_nonzero(labels == 1) > 81


def test_a_cancelled_refine_leaves_the_labels(opened):
    segmenter = opened
    before = segmenter.segment(NAMES).labels.copy()
    steps = segmenter.refine_steps(corrections_of((100, 80, 2)))
    for progress in steps:
        if "tile 2" in progress.stage:
            break
    steps.close()
    np.testing.assert_array_equal(segmenter.result.labels, before)
    np.testing.assert_array_equal(segmenter.refine().labels, before)


def test_a_threshold_makes_all_tiles_anew(make, opened):
    segmenter = opened
    every = segmenter.segment(NAMES).tiles
    low = segmenter.refine(threshold=0.1)
    assert low.tiles == every
    low_labels = low.labels.copy()
    np.testing.assert_array_equal(make(picture()).segment(NAMES, threshold=0.1).labels, low_labels)
    assert np.count_nonzero(low_labels) > np.count_nonzero(segmenter.refine(threshold=0.9).labels)


def test_tiles_go_to_an_array_on_disk(opened, tmp_path):
    segmenter = opened
    labels = segmenter.segment(NAMES).labels.copy()
    out = zarr.create_array(tmp_path / "out.zarr", shape=SHAPE, chunks=(128, 128), dtype="u1")
    result = segmenter.segment(NAMES, out=out)
    assert result.labels is out
    np.testing.assert_array_equal(out[...], labels)
    fixed = zarr.create_array(
        tmp_path / "c.zarr", shape=SHAPE, chunks=(128, 128), dtype="i2", fill_value=-1
    )
    fixed[100:110, 70:80] = 2
    segmenter.refine(fixed)
    assert (out[100:110, 70:80] == 2).all()


def test_encodings_leave_the_disk_with_the_segmenter(make):
    segmenter = make(picture())
    folders = [level.store.folder for level in levels_of(segmenter)]
    assert all(list(folder.iterdir()) for folder in folders)
    segmenter.set_image(picture(1))
    assert not any(folder.exists() for folder in folders)
    for level in levels_of(segmenter):
        level.store.close()
        assert not level.store.folder.exists()


def levels_of(segmenter) -> list[Level]:
    return segmenter._encoding.levels


def test_pseudo_labels_of_a_box(opened):
    segmenter = opened
    segmenter.segment(NAMES)
    whole = segmenter.pseudo_labels(Box(0, 0, *SHAPE))
    assert set(np.unique(whole)) <= {0, 1, 2, 255}
    box = Box(50, 60, 200, 180)
    np.testing.assert_array_equal(segmenter.pseudo_labels(box), whole[box.slices])


def test_small_and_thin_images_work(make):
    for shape in ((40, 56), (2, 300), (500, 31)):
        image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
        labels = make(image).segment("ball").labels
        assert labels.shape == shape


def test_errors_say_what_to_do(make, tmp_path):
    segmenter = make()
    with pytest.raises(InputError, match="call set_image"):
        segmenter.segment(NAMES)
    with pytest.raises(InputError, match="call set_image"):
        segmenter.suggest()
    segmenter.set_image(LargeImage(picture(shape=(60, 50))))
    with pytest.raises(InputError, match="call segment"):
        segmenter.refine()
    segmenter.segment(NAMES)
    with pytest.raises(InputError, match="the same"):
        segmenter.refine(np.zeros((3, 3), np.int16))
    with pytest.raises(InputError, match="hold 9"):
        segmenter.refine(np.full((60, 50), 9, np.int16))
    with pytest.raises(InputError, match="The output has shape"):
        segmenter.segment(NAMES, out=np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match="threshold"):
        segmenter.segment(NAMES, threshold=2)
    with pytest.raises(InputError, match="even"):
        make(tile=99)
    with pytest.raises(InputError, match="detail"):
        make(detail=0)
    shutil.rmtree(tmp_path)
