"""`Segmenter`: encodes once, keeps its promises about ids, corrections, errors and cancelling."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.segmenter import Segmenter

from .small_models import tokenize

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = "red ball=ball|red ball, lawn"


def picture(seed=0, shape=(40, 56)):
    """Two blocks of colour on noise."""
    image = np.random.default_rng(seed).integers(90, 130, (*shape, 3), dtype=np.uint8)
    image[5:25, 5:25] = (200, 30, 40)
    image[20:38, 30:52] = (30, 180, 60)
    return image


@pytest.fixture
def make_segmenter(small_model):
    def make(image=None, **options):
        options = {"views": "fast", "background": ("sky",), **options}
        segmenter = Segmenter(small_model("RN"), **options)
        if image is not None:
            segmenter.set_image(image)
        return segmenter

    return make


@contextmanager
def counted_convolutions():
    """Counts runs of convolutions: whatever way the image tower is called, it needs them."""
    runs = []

    def count(module, args, output):
        if isinstance(module, torch.nn.Conv2d):
            runs.append(len(args[0]))

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    yield runs
    handle.remove()


def corrections_of(shape, *dabs):
    out = np.full(shape, -1, np.int16)
    for rows, columns, value in dabs:
        out[rows, columns] = value
    return out


def assert_result(result, segmenter, names):
    shape = segmenter.image_shape
    ids = [c.id for c in result.classes]
    assert [c.name for c in result.classes] == names
    assert result.labels.shape == result.pseudo_labels.shape == shape
    assert result.labels.dtype == result.pseudo_labels.dtype == np.uint8
    assert set(np.unique(result.labels)) <= {0, *ids}
    assert set(np.unique(result.pseudo_labels)) <= {0, 255, *ids}
    assert result.relevance.shape == (len(ids), *shape)
    assert result.relevance.dtype == np.float32
    assert 0 <= result.relevance.min() <= result.relevance.max() <= 1
    assert segmenter.result is result
    assert segmenter.classes == result.classes


def test_names_to_masks(make_segmenter):
    segmenter = make_segmenter(picture())
    result = segmenter.segment(NAMES, threshold=0.4)
    assert_result(result, segmenter, ["red ball", "lawn"])
    assert result.classes[0].prompts == ("ball", "red ball")
    assert result.model == "small RN"
    assert result.settings == {
        "threshold": 0.4, "views": "fast", "method": "cam", "refiner": "default",
    }  # fmt: skip
    assert set(result.seconds) == {"encode", "relevance", "refine"}
    assert all(value > 0 for value in result.seconds.values())
    assert result.stage_labels is None
    assert segmenter.threshold == 0.4


def test_the_image_is_encoded_once_whatever_changes_later(make_segmenter):
    with counted_convolutions() as runs:
        segmenter = make_segmenter(picture(), views="default")
        encoded = sum(runs)
        assert encoded > 0
        runs.clear()
        segmenter.segment(NAMES)
        segmenter.segment("cat, dog, bird", threshold=0.3, keep_stages=True)
        segmenter.segment(NAMES, refine=False)
        for threshold in (0.1, 0.5, 0.9):
            segmenter.pseudo_labels(threshold)
        segmenter.refine(corrections_of((40, 56), (3, 3, 1)))
        assert not runs
        segmenter.set_image(picture(1))
        assert sum(runs) == encoded


def test_an_image_seen_before_is_not_encoded_again(make_segmenter, tmp_path):
    """From memory in one session, from disk in the next; other views are another encoding."""
    folder = tmp_path / "kept"
    with counted_convolutions() as runs:
        segmenter = make_segmenter(picture(0), cache_dir=folder)
        first = segmenter.segment(NAMES)
        segmenter.set_image(picture(1))
        runs.clear()
        segmenter.set_image(picture(0))
        assert not runs
        again = make_segmenter(picture(0), cache_dir=folder).segment(NAMES)
        assert not runs
        assert again.labels.tobytes() == first.labels.tobytes()
        assert again.relevance.tobytes() == first.relevance.tobytes()
        assert len(list(folder.iterdir())) == 2
        make_segmenter(picture(0), cache_dir=folder, views="single")
        assert runs
        runs.clear()
        make_segmenter(picture(0))
        assert runs, "nothing is kept on disk unless asked for"


def test_the_same_input_gives_the_same_bytes(make_segmenter):
    fixed = corrections_of((40, 56), (slice(6, 9), slice(6, 9), 1))
    results = []
    for _ in range(2):
        segmenter = make_segmenter(picture())
        results += [segmenter.segment(NAMES), segmenter.refine(fixed)]
    for one, other in zip(results[:2], results[2:], strict=True):
        assert one.labels.tobytes() == other.labels.tobytes()
        assert one.pseudo_labels.tobytes() == other.pseudo_labels.tobytes()
        assert one.relevance.tobytes() == other.relevance.tobytes()


def test_what_happened_before_does_not_matter(make_segmenter):
    """Same image, names and corrections: same labels, after other images, names and dabs."""
    fixed = corrections_of((40, 56), (slice(6, 9), slice(6, 9), 1))
    fresh = make_segmenter(picture())
    fresh.segment(NAMES)
    expected = fresh.refine(fixed)
    used = make_segmenter(picture(2, (30, 30)))
    used.segment("cat")
    used.set_image(picture())
    used.segment("bird, fish, dog", threshold=0.2)
    used.segment(NAMES, threshold=0.5)
    used.refine(corrections_of((40, 56), (20, 20, 2)))
    np.testing.assert_array_equal(used.refine(fixed).labels, expected.labels)


def test_classes_keep_their_maps_whatever_the_order(make_segmenter):
    segmenter = make_segmenter(picture())
    one, two = segmenter.segment("ball, lawn"), segmenter.segment("lawn, ball")
    np.testing.assert_allclose(one.relevance, two.relevance[::-1], atol=1e-5)


def test_ids_with_gaps_are_mapped_both_ways(make_segmenter):
    """An annotator who removed a class keeps the others' label values."""
    plain = make_segmenter(picture())
    first = plain.segment(["ball", "lawn"])
    gaps = make_segmenter(picture())
    second = gaps.segment(
        [ClassInfo(7, "ball", ("ball",), (1, 2, 3)), ClassInfo(3, "lawn", ("lawn",), (4, 5, 6))]
    )
    to_gaps = np.arange(256)
    to_gaps[[1, 2]] = 7, 3
    np.testing.assert_array_equal(second.labels, to_gaps[first.labels])
    np.testing.assert_array_equal(second.pseudo_labels, to_gaps[first.pseudo_labels])
    np.testing.assert_array_equal(gaps.pseudo_labels(0.3), to_gaps[plain.pseudo_labels(0.3)])
    dabs = [(slice(2, 5), slice(2, 5), 2), (slice(30, 33), slice(40, 44), 1), (0, 0, 0)]
    fixed = corrections_of((40, 56), *dabs)
    fixed_gaps = np.where(fixed < 0, -1, to_gaps[fixed])
    second = gaps.refine(fixed_gaps)
    np.testing.assert_array_equal(second.labels, to_gaps[plain.refine(fixed).labels])
    np.testing.assert_array_equal(second.labels[fixed >= 0], fixed_gaps[fixed >= 0])
    seeds = plain.pseudo_labels(0.6)
    np.testing.assert_array_equal(
        gaps.refine(pseudo_labels=to_gaps[seeds].astype(np.uint8)).labels,
        to_gaps[plain.refine(pseudo_labels=seeds).labels],
    )
    with pytest.raises(InputError, match="The corrections hold 1"):
        gaps.refine(fixed)


@pytest.mark.parametrize("refiner", ["default", "random_walker"])
def test_every_corrected_pixel_is_kept(make_segmenter, refiner):
    segmenter = make_segmenter(picture(), refiner=refiner)
    segmenter.segment(NAMES)
    random = np.random.default_rng(5)
    for share in (0.001, 0.1, 1.0):
        values = random.integers(0, 3, (40, 56)).astype(np.int16)
        fixed = np.where(random.random((40, 56)) < share, values, np.int16(-1))
        before = fixed.copy()
        result = segmenter.refine(fixed)
        np.testing.assert_array_equal(result.labels[fixed >= 0], fixed[fixed >= 0])
        np.testing.assert_array_equal(fixed, before)
        assert_result(result, segmenter, ["red ball", "lawn"])
    np.testing.assert_array_equal(
        segmenter.refine().labels, make_segmented(make_segmenter, refiner).labels
    )


def make_segmented(make_segmenter, refiner):
    segmenter = make_segmenter(picture(), refiner=refiner)
    return segmenter.segment(NAMES)


def test_without_refinement_labels_come_from_relevance_alone(make_segmenter):
    segmenter = make_segmenter(picture())
    result = segmenter.segment(NAMES, refine=False, keep_stages=True)
    np.testing.assert_array_equal(result.labels, result.stage_labels["augmented"])
    assert result.settings["refiner"] is None


def test_stage_labels(make_segmenter):
    segmenter = make_segmenter(picture(), views="default")
    result = segmenter.segment(NAMES, keep_stages=True)
    assert list(result.stage_labels) == ["single view", "augmented", "refined"]
    np.testing.assert_array_equal(result.stage_labels["refined"], result.labels)
    single = make_segmenter(picture(), views="single").segment(NAMES, keep_stages=True)
    np.testing.assert_array_equal(
        result.stage_labels["single view"], single.stage_labels["augmented"]
    )
    assert (result.stage_labels["augmented"] != result.stage_labels["single view"]).any()


def test_pseudo_labels_at_the_threshold_are_those_of_the_result(make_segmenter):
    segmenter = make_segmenter(picture())
    result = segmenter.segment(NAMES, threshold=0.35)
    np.testing.assert_array_equal(segmenter.pseudo_labels(0.35), result.pseudo_labels)
    assert (segmenter.pseudo_labels(0.95) != result.pseudo_labels).any()
    assert segmenter.threshold == 0.35


def test_a_class_without_pixels_is_announced(make_segmenter):
    segmenter = make_segmenter(picture())
    segmenter.segment(NAMES)
    result = segmenter.refine(np.ones((40, 56), np.int16))
    assert result.notices == (
        '"lawn" got no pixels: it may not be in the image, or needs other words.',
    )
    fixed = np.ones((40, 56), np.int16)
    fixed[:4] = 2
    assert segmenter.refine(fixed).notices == ()


# -- inputs and errors


@pytest.mark.parametrize(
    "image",
    [
        picture()[..., 0],
        np.dstack([picture(), np.full((40, 56), 255, np.uint8)]),
        picture().astype(np.uint16) * 200,
        picture() / 255,
        picture() > 100,
        picture()[::-1, ::2],
        picture(shape=(64, 64))[:16, :16],
        picture()[:2],
        np.zeros((2, 2), np.uint8),
        np.full((20, 30, 3), np.nan),
    ],
    ids=["grey", "rgba", "uint16", "float", "bool", "strided", "16 x 16", "2 x N", "2 x 2", "nan"],
)
def test_every_kind_of_image_is_segmented(make_segmenter, image):
    segmenter = make_segmenter(image, views="single")
    assert segmenter.image_shape == as_rgb(image).shape[:2]
    assert_result(segmenter.segment(NAMES), segmenter, ["red ball", "lawn"])


@pytest.mark.parametrize("names", ["ball", [f"thing {i}" for i in range(254)]], ids=len)
def test_one_class_and_254(make_segmenter, names):
    segmenter = make_segmenter(picture(shape=(26, 24)), views="single")
    listed = [names] if isinstance(names, str) else names
    assert_result(segmenter.segment(names), segmenter, listed)


def test_what_needs_an_image_or_names_says_so(make_segmenter):
    segmenter = make_segmenter()
    assert segmenter.image_shape is segmenter.result is None
    assert segmenter.classes == ()
    for call in (
        lambda: segmenter.segment("cat"),
        segmenter.refine,
        segmenter.suggest,
    ):
        with pytest.raises(InputError, match="There is no image yet: call set_image first"):
            call()
    segmenter.set_image(picture())
    for call in (segmenter.refine, lambda: segmenter.pseudo_labels(0.5)):
        with pytest.raises(InputError, match="Nothing is segmented yet"):
            call()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_0_and_1_is_refused(make_segmenter, threshold):
    message = "The threshold is .*: give a number from 0 to 1"
    with pytest.raises(InputError, match=message):
        make_segmenter(threshold=threshold)
    segmenter = make_segmenter(picture())
    with pytest.raises(InputError, match=message):
        segmenter.segment("ball", threshold=threshold)
    segmenter.segment("ball")
    with pytest.raises(InputError, match=message):
        segmenter.pseudo_labels(threshold)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"views": "all"}, "no view preset"), ({"method": "magic"}, "no relevance method")],
)
def test_unknown_settings_are_refused_with_the_image(make_segmenter, options, message):
    with pytest.raises(InputError, match=message):
        make_segmenter(picture(), **options)


def test_an_unknown_refiner_is_refused(make_segmenter):
    with pytest.raises(InputError, match="no refiner"):
        make_segmenter(picture(), refiner="magic").segment("ball")


@pytest.mark.parametrize(
    "seeds",
    [
        np.zeros((3, 3), np.uint8),
        np.full((40, 56), 9, np.uint8),
        np.zeros((40, 56)),
        np.full((40, 56), -1),
    ],
)
def test_pseudo_labels_that_do_not_fit_are_refused(make_segmenter, seeds):
    segmenter = make_segmenter(picture())
    segmenter.segment(NAMES)
    with pytest.raises(InputError, match="The pseudo-labels do not fit"):
        segmenter.refine(pseudo_labels=seeds)


def test_a_failed_call_changes_nothing(make_segmenter):
    segmenter = make_segmenter(picture())
    result = segmenter.segment(NAMES, threshold=0.4)
    for call in (
        lambda: segmenter.set_image(np.zeros((1, 5))),
        lambda: segmenter.segment("cat, cat", threshold=0.9),
        lambda: segmenter.segment("cat", threshold=2),
        lambda: segmenter.refine(np.zeros((3, 3), int)),
    ):
        with pytest.raises(InputError):
            call()
    assert segmenter.result is result
    assert segmenter.threshold == 0.4
    np.testing.assert_array_equal(segmenter.refine().labels, result.labels)


# -- cancelling


def jobs(segmenter):
    fixed = corrections_of((40, 56), (slice(0, 9), slice(0, 9), 2))
    return {
        "image": lambda: segmenter.set_image_steps(picture(4, (30, 44))),
        "names": lambda: segmenter.segment_steps("cat, dog, bird", threshold=0.1),
        "refine": lambda: segmenter.refine_steps(fixed),
    }


@pytest.mark.parametrize("job", ["image", "names", "refine"])
def test_a_job_cancelled_at_any_step_leaves_the_old_state(make_segmenter, job):
    segmenter = make_segmenter(picture())
    before = segmenter.segment(NAMES)
    steps = 0
    while True:
        running = jobs(segmenter)[job]()
        try:
            for _ in range(steps + 1):
                next(running)
        except StopIteration:
            break
        running.close()
        steps += 1
        assert segmenter.result is before
        assert segmenter.image_shape == (40, 56)
        assert segmenter.threshold == 0.5
        assert [c.name for c in segmenter.classes] == ["red ball", "lawn"]
        np.testing.assert_array_equal(segmenter.pseudo_labels(0.5), before.pseudo_labels)
    assert steps >= 3
    assert segmenter.result is not before


def test_after_a_cancelled_job_the_next_gives_what_it_always_gives(make_segmenter):
    segmenter = make_segmenter(picture())
    before = segmenter.segment(NAMES)
    for make in jobs(segmenter).values():
        running = make()
        next(running)
        next(running)
        running.close()
        np.testing.assert_array_equal(segmenter.refine().labels, before.labels)


def test_progress_goes_up_and_says_what_is_done(make_segmenter):
    segmenter = make_segmenter()
    seen = []
    drain(segmenter.set_image_steps(picture()), seen.append)
    assert seen[-1].done == seen[-1].total
    seen.clear()
    drain(segmenter.segment_steps(NAMES), seen.append)
    assert all(0 <= p.done <= p.total and p.stage for p in seen)
    assert seen[-1].done == seen[-1].total


# -- text


def test_a_class_that_is_a_background_word_does_not_compete_with_itself(small_model):
    model = small_model("RN")
    asked = []

    class Listening(type(model)):
        def encode_text(self, prompts, **options):
            asked.append(tuple(prompts))
            return super().encode_text(prompts, **options)

    listening = Listening(
        **{name: getattr(model, name) for name in model.__dataclass_fields__ if name[0] != "_"}
    )
    listening.tokenizer = tokenize
    segmenter = Segmenter(listening, views="single", background=("sky", "water", "Lawn"))
    segmenter.set_image(picture())
    segmenter.segment("lawn, lake=Water")
    assert ("sky",) in asked
    assert not any("water" in call or "Lawn" in call for call in asked)


# -- the bundled model


@pytest.fixture(scope="module")
def coffee(starter):
    from skimage.data import coffee as load

    segmenter = Segmenter(starter, views="fast")
    segmenter.set_image(load()[::2, ::2])
    return segmenter


def test_the_starter_finds_the_cup(coffee):
    result = coffee.segment("cup of coffee=cup|espresso")
    rows, columns = np.unravel_index(result.relevance[0].argmax(), coffee.image_shape)
    assert 30 < rows < 160
    assert 60 < columns < 250
    inside = np.zeros(coffee.image_shape, bool)
    inside[30:160, 60:250] = True
    cup = result.labels == 1
    assert cup[inside].mean() > 0.2
    assert cup[inside].mean() > 3 * cup[~inside].mean()


def test_the_starter_follows_a_dab(coffee):
    coffee.segment("cup of coffee=cup|espresso")
    fixed = np.full(coffee.image_shape, -1, np.int16)
    before = coffee.refine(fixed).labels
    fixed[50:130, 80:200] = 0
    after = coffee.refine(fixed).labels
    assert (after[50:130, 80:200] == 0).all()
    assert (after == 1).sum() < (before == 1).sum()


def test_a_result_knows_the_corrections_it_keeps(make_segmenter):
    segmenter = make_segmenter(picture())
    cat = ClassInfo(7, "cat", ("cat",), (1, 2, 3))
    assert segmenter.segment([cat, "lawn"]).corrections is None
    corrections = corrections_of((40, 56), (0, 2, 7), (0, 5, 0))
    result = segmenter.refine(corrections)
    assert result.corrections.dtype == np.int16
    assert (result.corrections == corrections).all()


def test_refine_near_strokes_and_locked_classes(make_segmenter):
    segmenter = make_segmenter(picture())
    first = segmenter.segment(NAMES).labels
    dab = corrections_of((40, 56), (slice(2, 6), slice(2, 6), 1))
    near = segmenter.refine(dab, near=4)
    rows, columns = np.mgrid[:40, :56]
    far = (
        np.hypot(
            np.maximum(2 - rows, rows - 5).clip(0), np.maximum(2 - columns, columns - 5).clip(0)
        )
        > 4
    )
    np.testing.assert_array_equal(near.labels[far], first[far])
    assert (near.labels[2:6, 2:6] == 1).all()
    assert near.settings["near"] == 4
    # What was painted before the last result is no new stroke.
    again = dab.copy()
    again[34:37, 45:50] = 0
    second = segmenter.refine(again, near=0)
    np.testing.assert_array_equal(second.labels[again != 0], near.labels[again != 0])
    locked = segmenter.refine(
        corrections_of((40, 56), (slice(8, 12), slice(8, 12), 0)), locked=["lawn"]
    )
    np.testing.assert_array_equal(locked.labels == 2, second.labels == 2)
    assert locked.settings["locked"] == [2]
    assert "locked" not in segmenter.refine(dab).settings
    with pytest.raises(InputError, match="no class 'hedge' to lock"):
        segmenter.refine(dab, locked=["hedge"])
