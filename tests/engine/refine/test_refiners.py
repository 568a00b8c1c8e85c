"""What every refiner promises: corrections are kept, hard cases have a stated treatment."""

from __future__ import annotations

import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.refine import refine, refiner_names, start_refinement

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = {"kim2020": {"iterations": 2}}
REFINERS = [(name, OPTIONS.get(name, {})) for name in refiner_names()]
every_refiner = pytest.mark.parametrize(
    ("method", "options"), REFINERS, ids=[name for name, _ in REFINERS]
)


def halves(shape=(24, 30)):
    """Dark on the left, bright on the right, a little noise."""
    image = np.random.default_rng(0).integers(0, 12, (*shape, 3), dtype=np.uint8)
    image[:, shape[1] // 2 :] += 180
    return image


def unsure(shape=(24, 30)):
    return np.full(shape, 255, np.uint8)


def case(sides):
    """An image, seeds and corrections of one size, all at random."""
    shape = st.tuples(sides, sides)
    return shape.flatmap(
        lambda s: st.tuples(
            hnp.arrays(np.uint8, (*s, 3)),
            hnp.arrays(np.uint8, s, elements=st.sampled_from([0, 1, 2, 255])),
            hnp.arrays(np.int16, s, elements=st.integers(-1, 3), fill=st.just(-1)),
        )
    )


def test_the_refiners():
    assert refiner_names()[0] == "default"
    assert {"default", "random_walker", "kim2020", "grabcut"} <= set(refiner_names())


def test_grabcut_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r'pip install "napari-wildseg\[grabcut\]"'):
        start_refinement(halves(), 1, method="grabcut")


def test_grabcut_finds_the_bright_half_and_keeps_off_what_was_corrected():
    image, seeds = halves(), unsure()
    seeds[4:20, 2:6], seeds[4:20, 24:28] = 0, 1
    labels = refine(image, seeds, method="grabcut")
    np.testing.assert_array_equal(labels[:, 15:], 1)
    np.testing.assert_array_equal(labels[:, :15], 0)


# At a working resolution below the image's, corrected pixels are smaller than what is solved for.
COARSE = [("default", {"work_pixels": 30}), ("random_walker", {"work_pixels": 30})]


@pytest.mark.parametrize(
    ("method", "options"), [*REFINERS, *COARSE], ids=lambda v: v if isinstance(v, str) else str(v)
)
@settings(max_examples=settings.default.max_examples // 3)
@given(data=case(st.integers(2, 12)))
def test_every_corrected_pixel_is_kept(method, options, data):
    image, seeds, corrections = data
    if (seeds == 255).all() and (corrections < 0).all():
        seeds[0, 0] = 1
    before = seeds.copy(), corrections.copy()
    labels = refine(image, seeds, corrections, method=method, **options)
    kept = corrections >= 0
    np.testing.assert_array_equal(labels[kept], corrections[kept])
    assert labels.shape == seeds.shape
    assert labels.dtype == np.uint8
    used = {0, 1, *seeds[seeds != 255].tolist(), *corrections[kept].tolist()}
    assert labels.max() <= max(used)
    np.testing.assert_array_equal(seeds, before[0])
    np.testing.assert_array_equal(corrections, before[1])


@every_refiner
def test_the_same_input_gives_the_same_bytes(method, options):
    image, seeds = halves(), unsure()
    seeds[4, 4], seeds[20, 26] = 0, 1
    fixed = np.full(seeds.shape, -1, np.int16)
    fixed[10, 10] = 2
    one = refine(image, seeds, fixed, method=method, **options)
    np.random.default_rng(1).random(5)
    two = refine(image, seeds, fixed, method=method, **options)
    assert one.tobytes() == two.tobytes()


@every_refiner
def test_a_rerun_equals_a_refinement_from_scratch(method, options):
    """Dab after dab with one refinement object, against a new one with all dabs at once."""
    image, seeds = halves(), unsure()
    seeds[2:5, 2:5], seeds[18:21, 24:27] = 0, 1
    kept = start_refinement(image, 2, method=method, **options)
    fixed = np.full(seeds.shape, -1, np.int16)
    for rows, columns, value in ((3, 20, 2), (20, 5, 0), (12, 16, 1)):
        fixed[rows : rows + 3, columns : columns + 3] = value
        rerun = drain(kept.run_steps(seeds, fixed.copy(), None))
        fresh = start_refinement(image, 2, method=method, **options)
        np.testing.assert_array_equal(rerun, drain(fresh.run_steps(seeds, fixed, None)))
    fixed[:] = -1  # all dabs taken back
    fresh = start_refinement(image, 2, method=method, **options)
    expected = drain(fresh.run_steps(seeds, None, None))
    np.testing.assert_array_equal(drain(kept.run_steps(seeds, fixed, None)), expected)


@every_refiner
@pytest.mark.parametrize("shape", [(2, 2), (16, 16), (2, 200), (200, 2), (3, 7)], ids=str)
def test_small_and_thin_images(method, options, shape):
    seeds = unsure(shape)
    seeds[0, 0], seeds[-1, -1] = 0, 1
    labels = refine(halves(shape), seeds, method=method, **options)
    assert labels.shape == shape
    assert set(np.unique(labels)) <= {0, 1}


@every_refiner
@pytest.mark.parametrize("value", [0, 128])
def test_a_constant_image(method, options, value):
    seeds = unsure()
    seeds[4:8, 4:8], seeds[16:20, 20:24] = 0, 1
    labels = refine(np.full((24, 30), value, np.uint8), seeds, method=method, **options)
    assert set(np.unique(labels)) <= {0, 1}
    if method == "random_walker":
        assert (labels[4:8, 4:8] == 0).all()
        assert (labels[16:20, 20:24] == 1).all()


def test_the_default_keeps_seeds_on_a_constant_image():
    seeds = unsure()
    seeds[4:8, 4:8], seeds[16:20, 20:24] = 0, 1
    labels = refine(np.full((24, 30), 128, np.uint8), seeds)
    assert (labels[16:20, 20:24] == 1).mean() > 0.9


@every_refiner
def test_every_pixel_corrected(method, options):
    fixed = np.random.default_rng(3).integers(0, 5, (24, 30))
    labels = refine(halves(), unsure(), fixed, method=method, **options)
    np.testing.assert_array_equal(labels, fixed)


@every_refiner
def test_one_class_and_no_background_seed(method, options):
    seeds = unsure()
    seeds[5, 5] = 1
    labels = refine(halves(), seeds, method=method, **options)
    assert set(np.unique(labels)) <= {0, 1}


@every_refiner
def test_254_classes_or_one_sentence(method, options):
    seeds = unsure((32, 32))
    seeds[:16, :16].flat[:254] = np.arange(1, 255)
    if method == "kim2020":
        with pytest.raises(InputError, match="tells at most 99 classes apart; 254 were given"):
            refine(halves((32, 32)), seeds, method=method, **options)
    else:
        assert refine(halves((32, 32)), seeds, method=method, **options).max() <= 254


@every_refiner
def test_a_cancelled_run_leaves_the_refinement_usable(method, options):
    image, seeds = halves(), unsure()
    seeds[4, 4], seeds[20, 26] = 0, 1
    expected = refine(image, seeds, method=method, **options)
    kept = start_refinement(image, 1, method=method, **options)
    steps = 0
    while True:
        running = kept.run_steps(seeds, None, None)
        try:
            for _ in range(steps + 1):
                progress = next(running)
                assert 0 <= progress.done <= progress.total
        except StopIteration:
            break
        running.close()
        steps += 1
    assert steps >= 1
    np.testing.assert_array_equal(drain(kept.run_steps(seeds, None, None)), expected)


SPREADING = [r for r in REFINERS if r[0] not in ("kim2020", "grabcut")]
spreading_refiner = pytest.mark.parametrize(
    ("method", "options"), SPREADING, ids=[name for name, _ in SPREADING]
)


@spreading_refiner
@pytest.mark.parametrize("grey", [False, True])
def test_one_seed_pixel_a_side_finds_the_edge(method, options, grey):
    image, seeds = halves((60, 80)), unsure((60, 80))
    seeds[10:13, 10:13], seeds[45:48, 65:68] = 0, 1
    labels = refine(image[..., 0] if grey else image, seeds, method=method, **options)
    expected = np.zeros((60, 80), bool)
    expected[:, 40:] = True
    assert ((labels == 1) == expected).mean() > 0.98


@spreading_refiner
def test_a_large_image_in_bounded_memory(method, options):
    """Six megapixels: a few times the image, not a matrix of all pixels."""
    shape = (2000, 3000)
    image = np.zeros((*shape, 3), np.uint8)
    image[:, 1500:] = 190
    seeds = unsure(shape)
    seeds[900:1000, 300:400], seeds[900:1000, 2500:2600] = 0, 1
    tracemalloc.start()
    start = time.process_time()
    labels = refine(image, seeds, method=method, **options)
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()  # NumPy's share
    tracemalloc.stop()
    expected = np.zeros(shape, bool)
    expected[:, 1500:] = True
    assert ((labels == 1) == expected).mean() > 0.99
    assert seconds < 60
    assert peak < 1.5e9


# -- errors


def test_nothing_labelled_is_refused():
    with pytest.raises(InputError, match="Nothing is labelled: give at least one seed"):
        refine(halves(), unsure())
    with pytest.raises(InputError, match="Nothing is labelled"):
        refine(halves(), unsure(), np.full((24, 30), -1))


def test_nothing_sure_but_one_correction():
    fixed = np.full((24, 30), -1)
    fixed[3, 3] = 1
    assert refine(halves(), unsure(), fixed)[3, 3] == 1


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (np.zeros((3, 3), int), r"The pseudo-labels have shape \(3, 3\), the image \(24, 30\)"),
        (np.zeros((24, 30)), "must be whole numbers from 0 to 255"),
        (np.full((24, 30), -1), "must be whole numbers from 0 to 255"),
        (np.full((24, 30), 256), "must be whole numbers from 0 to 255"),
    ],
)
def test_seeds_that_do_not_fit_are_refused(seeds, message):
    with pytest.raises(InputError, match=message):
        refine(halves(), seeds)


def test_unknown_refiners_and_settings_are_refused():
    seeds = np.zeros((24, 30), int)
    with pytest.raises(InputError, match='no refiner "crf"; choose one of default'):
        refine(halves(), seeds, method="crf")
    with pytest.raises(InputError, match='"kim2020" has no such setting'):
        refine(halves(), seeds, method="kim2020", depth=3)
    with pytest.raises(InputError, match="The corrections have shape"):
        refine(halves(), seeds, np.zeros((2, 2), int))
