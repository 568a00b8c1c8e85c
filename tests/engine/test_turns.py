"""One segmenter and several threads; arguments of other types."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.segmenter import Segmenter


def test_threads_that_share_a_segmenter_are_never_given_each_others_image(starter):
    segmenter = Segmenter(starter, views="single")
    mine = np.random.default_rng(0).integers(0, 255, (24, 36, 3), np.uint8)
    told = {}

    def elsewhere(job):
        def run():
            try:
                told[job] = job()
            except InputError as error:
                told[job] = str(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return told[job]

    def other_image():
        segmenter.set_image(mine[:20, :30])
        return segmenter.segment("cat").labels.shape

    segmenter.set_image(mine)
    assert elsewhere(lambda: segmenter.segment("cat").labels.shape) == (24, 36)  # a worker's thread
    assert elsewhere(other_image) == (20, 30)
    for call in (
        lambda: segmenter.segment("cat"),
        lambda: segmenter.refine(),
        lambda: segmenter.suggest(["cat"]),
        lambda: segmenter.pseudo_labels(0.5),
        segmenter.uncertainty,
    ):
        with pytest.raises(InputError, match="another image since"):
            call()
    segmenter.set_image(mine)
    assert segmenter.segment("cat").labels.shape == (24, 36)
    for steps in (segmenter.segment_steps("cat"), segmenter.set_image_steps(mine)):
        next(steps)  # a job that is under way
        assert "Another thread is using" in elsewhere(other_image)
        assert "Another thread is using" in elsewhere(lambda: segmenter.refine())
        steps.close()
        assert segmenter.segment("cat").labels.shape == (24, 36)
    assert elsewhere(other_image) == (20, 30)


JUNK = (None, 5, 2.5, b"x", [], {}, object(), ["a", 3], np.zeros(3), lambda: 1)


@pytest.mark.parametrize(
    ("argument", "good"),
    [
        ("model", ()),
        ("views", ()),
        ("method", (None,)),
        ("refiner", ()),
        ("threshold", ()),
        ("background", ([], {})),
        ("cache_bytes", (5,)),
    ],
)
def test_arguments_of_another_type_are_refused_in_a_sentence(starter, argument, good):
    image = np.zeros((8, 8, 3), np.uint8)

    def use(**options):
        segmenter = Segmenter(**{"model": starter, "views": "single", **options})
        if argument != "model":
            segmenter.set_image(image)
            segmenter.segment("cat")

    for value in JUNK:
        if not any(value is g or (type(value) is type(g) and value == g) for g in good):
            with pytest.raises(InputError):
                use(**{argument: value})


@pytest.mark.parametrize(
    "value", ["0.5", b"0.5", None, [0.5], float("nan"), 10**400, -0.1, object()]
)
def test_a_threshold_that_is_no_number_from_0_to_1(starter, value):
    with pytest.raises(InputError, match="give a number from 0 to 1"):
        Segmenter(starter, threshold=value)
    segmenter = Segmenter(starter, views="single")
    segmenter.set_image(np.zeros((8, 8, 3), np.uint8))
    segmenter.segment("cat")
    if value is not None:
        with pytest.raises(InputError, match="give a number from 0 to 1"):
            segmenter.segment("cat", threshold=value)
    with pytest.raises(InputError, match="give a number from 0 to 1"):
        segmenter.pseudo_labels(value)
