"""Series of images with a memory whose effect is known, and the forest."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.evaluation import EvaluationSet, series_steps
from napari_wildseg.evaluation.forest import _MAX_PIXELS, PixelForest, pixel_features

from .helpers import FakeSegmenter, write_set


class RememberingSegmenter(FakeSegmenter):
    """Right in half of the columns, and in a tenth more for each image in its memory."""

    memory = None

    def segment_steps(self, labels, **options):
        result = yield from super().segment_steps(labels, **options)
        self.labels = result.stage_labels["refined"] = self._now()
        return result

    def refine(self, corrections=None):
        self.refiner = str(self._share())
        result = super().refine(corrections)
        self.labels = result.labels
        return result

    def remember(self, *, finished=True, labels=None):
        self.memory.append((self.labels if labels is None else labels, finished))

    def _now(self):
        return self._right_up_to(self._share())

    def _share(self):
        return min(1.0, 0.5 + 0.1 * len(self.memory or ()))


@pytest.fixture
def data(tmp_path):
    """Six images of 40 x 40 whose lower half is class 4, with a speck of 20 and a row of 255."""
    masks = {}
    for stem in "abcdef":
        mask = np.zeros((40, 40), np.uint8)
        mask[20:] = 4
        mask[0, :3] = 20  # under 1 %: not known
        mask[5] = 255
        masks[stem] = mask
    masks["nothing"] = np.zeros((40, 40), np.uint8)
    classes = {"4": "cat", "20": "fly"}
    return EvaluationSet.open(write_set(tmp_path / "set", masks, classes=classes))


def run(data, **options):
    memories = []

    def new_memory():
        memories.append([])
        return memories[-1]

    segmenter = RememberingSegmenter()
    return drain(series_steps(segmenter, data, new_memory, **options)), memories


def test_each_image_is_measured_with_a_memory_of_those_before_it(data):
    found, memories = run(data, orders=2, finish=True)
    entries = found.to_json()["series"]
    assert [(e["order"], e["place"]) for e in entries] == [
        (o, p) for o in (0, 1) for p in range(1, 7)
    ]
    assert {e["image"] for e in entries[:6]} == set("abcdef")
    assert [e["image"] for e in entries[:6]] != [e["image"] for e in entries[6:]]
    # Worked out by hand: a share s of the columns is right, background included.
    background = 40 * 19  # the upper half without the ignored row

    def miou(s):
        return (s + background / (background + (1 - s) * 800)) / 2

    for entry in entries:
        s = min(1.0, 0.5 + 0.1 * (entry["place"] - 1))
        assert entry["without"] == [pytest.approx(miou(0.5), abs=2e-3)]
        assert entry["with"] == [pytest.approx(miou(s), abs=2e-3)]
        # The class alone: the share itself, since nothing else is called so.
        assert entry["classes"]["without"] == [pytest.approx(0.5, abs=2e-3)]
        assert entry["classes"]["with"] == [pytest.approx(s, abs=2e-3)]
    assert [len(memory) for memory in memories] == [6, 6]
    labels, finished = memories[0][0]
    assert finished
    # The true mask: what was not asked for is background, what is ignored stays unlabelled.
    assert labels[30, 3] == 4
    assert (labels[0] == 0).all()
    assert (labels[5] == 255).all()


def test_unfinished_images_are_remembered_as_they_were_left(data):
    found, memories = run(data, orders=1, clicks=2)
    for (labels, finished), place in zip(memories[0], found.places, strict=True):
        assert not finished
        assert len(place.curves["with"]) == len(place.curves["without"]) == 3
        # Half and a few dabs: not the true mask.
        assert place.place > 3 or (labels[20:] == 0).any()
    assert found.places[0].curves["with"][1] > found.places[0].curves["with"][0]


def test_summary(data):
    found, _ = run(data, orders=2, clicks=1, finish=True)
    summary = found.to_json()["series_summary"]
    assert list(summary["places"]) == ["1", "2", "3", "5", "last"]
    by_hand = [e.curves["with"][0] for e in found.places if e.place >= 5]
    assert summary["from 5"]["with"][0] == pytest.approx(np.mean(by_hand))
    for name in ("from 5", "from 3"):
        assert set(summary["classes"][name]) == {"without", "with"}
    by_hand = [e.classes["with"][1] for e in found.places if e.place >= 5]
    assert summary["classes"]["from 5"]["with"][1] == pytest.approx(np.mean(by_hand))
    assert list(summary["classes"]["places"]) == list(summary["places"])
    assert summary["images"] == 6
    assert summary["worse"] == summary["worse from 3"] == 0
    assert summary["noc85"]["with"] < summary["noc85"]["without"] == 2
    assert summary["noc85 from 5"]["with"] == 0
    assert set(summary["drops"]) == {"without", "with"}
    # Each of the six images once without, and in two orders with, where something was wrong.
    assert summary["drops"]["without"]["refinements"] == 6
    assert 6 <= summary["drops"]["with"]["refinements"] < 12
    assert summary["drops"]["with"]["worst"] == 0


def test_images_that_the_memory_makes_worse_are_counted(data):
    class Harmed(RememberingSegmenter):
        def _share(self):
            return 0.9 - 0.3 * (len(self.memory or ()) >= 3)

    found = drain(series_steps(Harmed(), data, list, orders=1, finish=True))
    assert found.summary()["worse"] == pytest.approx(3 / 6)
    assert found.summary()["worse from 3"] == pytest.approx(3 / 4)


def test_one_name_an_image_leaves_background_out(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[20:] = 4
    written = write_set(tmp_path / "set", {"a": mask}, labels={"a": {"4": "swan"}})
    found = drain(series_steps(RememberingSegmenter(), EvaluationSet.open(written), list))
    assert found.places[0].curves["with"] == [0.5]


def test_a_set_without_known_classes_is_refused(tmp_path):
    nothing = {"a": np.zeros((8, 8), np.uint8)}
    data = EvaluationSet.open(write_set(tmp_path / "set", nothing, classes={"1": "cat"}))
    with pytest.raises(InputError, match="No image"):
        drain(series_steps(RememberingSegmenter(), data, list))


def texture(seed):
    """An image whose right half is rough."""
    image = np.full((48, 64, 3), 120, np.uint8)
    noise = np.random.default_rng(seed).integers(0, 120, (48, 32, 1))
    image[:, 32:] = noise
    truth = np.zeros((48, 64), np.uint8)
    truth[:, 32:] = 1
    return image, truth


def test_the_forest_learns_textures_from_finished_images_and_from_dabs():
    image, truth = texture(0)
    other, _ = texture(1)
    features = pixel_features(image)
    assert features.shape == (48, 64, 16)
    forest = PixelForest()
    assert not forest.predict(features, {1: "rough"}).any()
    forest.learn(features, truth, {1: "rough"})
    samples, names = forest.samples[0]
    assert len(samples) == 2 * min(_MAX_PIXELS, 48 * 32)
    assert set(names) == {"", "rough"}
    # The same class under another number.
    found = forest.predict(pixel_features(other), {7: "rough"})
    assert (found == 7 * truth).mean() > 0.95
    assert np.array_equal(found, forest.predict(pixel_features(other), {7: "rough"}))
    # A class that no image taught has no pixel until it is painted; painted pixels are kept.
    assert not (forest.predict(features, {2: "new"}) == 2).any()
    dabs = np.full(truth.shape, -1, np.int16)
    dabs[:, 40:50] = 2
    found = forest.predict(features, {2: "new"}, dabs)
    assert (found[:, 40:50] == 2).all()
    assert (found[:, 34:] == 2).mean() > 0.9


def test_the_forest_is_compared_under_the_same_protocol(data):
    found, _ = run(data, orders=1, clicks=1, finish=True, forest=True, limit=3)
    for place in found.places:
        assert set(place.curves) == {"without", "with", "forest"}
        assert len(place.curves["forest"]) == 2
    # Nothing is known at first; the images are all alike, so then everything is.
    assert found.places[0].curves["forest"][0] < 0.3
    assert found.places[-1].curves["forest"][0] > 0.9
