"""`ClassMemory`: what it holds, forgets and refuses, and that it helps."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from napari_wildseg import ClassMemory, InputError
from napari_wildseg.evaluation.metrics import mean_iou

from .conftest import NAMES, picture

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_memory_of_finished_images_helps_the_next_one(make_segmenter, remembering):
    image, truth = picture(9)
    ious = []
    for memory in (None, remembering([1, 2, 3])):
        segmenter = make_segmenter(memory)
        segmenter.set_image(image)
        result = segmenter.segment(NAMES)
        ious.append(mean_iou(truth, result.labels, [1, 2]))
    assert ious[1] > max(0.7, ious[0] + 0.2)
    assert max(result.settings["memory"]["lawn"].values()) > 0
    assert '"lawn": learned from 3 images.' in result.notices


def test_images_that_were_only_corrected_help_too(make_segmenter):
    """Their refined labels judge the memory, as long as no two images are finished."""
    segmenter = make_segmenter(ClassMemory())
    memory, segmenter.memory = segmenter.memory, None
    for seed in (1, 2, 3, 4):
        image, truth = picture(seed)
        segmenter.set_image(image)
        segmenter.segment(NAMES)
        corrections = np.full(truth.shape, -1, np.int16)
        corrections[::8, ::4] = truth[::8, ::4]
        segmenter.refine(corrections)
        memory.add(segmenter.record(finished=False), segmenter.source)
    image, truth = picture(9)
    segmenter.set_image(image)
    ious = []
    for segmenter.memory in (None, memory):
        ious.append(mean_iou(truth, segmenter.segment(NAMES).labels, [1, 2]))
    assert ious[1] > ious[0] + 0.1


def test_the_order_of_annotation_changes_nothing(make_segmenter, remembering):
    one, other = remembering([1, 2, 3], anew=True), remembering([3, 1, 2], anew=True)
    assert one.digest == other.digest
    labels = []
    for memory in (one, other):
        segmenter = make_segmenter(memory)
        segmenter.set_image(picture(9)[0])
        labels.append(segmenter.segment(NAMES).labels)
    assert np.array_equal(*labels)


def test_an_image_that_is_given_again_replaces_its_record(make_segmenter, remembering):
    memory = remembering([1, 2])
    before = memory.digest
    segmenter = make_segmenter(memory)
    image, labels = picture(2)
    segmenter.set_image(image)
    segmenter.segment(NAMES, refine=False)
    segmenter.remember(labels=labels, name="2.png")
    assert len(memory) == 2
    assert memory.digest == before
    segmenter.remember(labels=np.zeros_like(labels), finished=False, name="2.png")
    assert len(memory) == 2
    assert memory.digest != before


def test_one_image_speaks_only_where_images_are_said_to_be_alike(make_segmenter, remembering):
    memory = remembering([1])
    segmenter = make_segmenter(memory)
    segmenter.set_image(picture(9)[0])
    plain = segmenter.segment(NAMES)
    unused = {"process": 0.0, "pixels": 0.0}
    assert plain.settings["memory"] == {"red blob": unused, "lawn": unused}
    assert any("would not have helped" in notice for notice in plain.notices)
    memory.alike = True
    taught = segmenter.segment(NAMES)
    assert mean_iou(picture(9)[1], taught.labels, [1, 2]) > 0.6
    segmenter.memory = None
    assert np.array_equal(segmenter.segment(NAMES).labels, plain.labels)


def test_contents_and_forgetting(remembering):
    memory = remembering([1, 2])
    assert [image.name for image in memory.images] == ["1.png", "2.png"]
    assert [(c.name, c.images, c.finished) for c in memory.classes] == [
        ("lawn", 2, 2),
        ("red blob", 2, 2),
    ]
    memory.forget(name="Lawn")
    assert [c.name for c in memory.classes] == ["red blob"]
    memory.forget(image="1.png")
    assert [image.name for image in memory.images] == ["2.png"]
    memory.forget(image=memory.images[0].digest)
    assert len(memory) == 0
    assert memory.digest == ClassMemory().digest
    for wrong in ({}, {"image": "1.png"}, {"name": "sky"}, {"image": "a", "name": "b"}):
        with pytest.raises(InputError):
            memory.forget(**wrong)


def test_a_copy_is_a_memory_of_its_own(remembering):
    memory = remembering([1, 2])
    copies = memory.copy(), pickle.loads(pickle.dumps(memory))
    memory.clear()
    assert [len(copy) for copy in copies] == [2, 2]
    assert copies[0].digest == copies[1].digest


def test_hindsight_finds_the_image_with_wrong_labels(make_segmenter, remembering):
    memory = remembering([1, 2, 3, 4])
    segmenter = make_segmenter(memory)
    image, labels = picture(5)
    segmenter.set_image(image)
    segmenter.segment(NAMES, refine=False)
    segmenter.remember(labels=labels[::-1, ::-1].copy(), name="wrong")
    hindsight = memory.hindsight()
    with_memory = {i.name: hindsight[i.digest]["red blob"][1] for i in memory.images}
    assert min(with_memory, key=with_memory.get) == "wrong"


def test_another_model_method_or_views_is_refused(make_segmenter, remembering, small_model):
    memory = remembering([1])
    other = make_segmenter(memory, views="fast")
    with pytest.raises(InputError, match="views single, not fast"):
        other.set_image(picture(1)[0])
    from napari_wildseg import Segmenter

    other = Segmenter(small_model("resnet"), views="single", memory=memory)
    with pytest.raises(InputError, match="model|weights"):
        other.set_image(picture(1)[0])


def test_labels_that_do_not_fit_are_refused(make_segmenter):
    segmenter = make_segmenter()
    with pytest.raises(InputError):
        segmenter.remember()
    segmenter.set_image(picture(1)[0])
    segmenter.segment(NAMES, refine=False)
    with pytest.raises(InputError):
        segmenter.remember(labels=np.full((48, 64), 7))
    with pytest.raises(InputError):
        segmenter.remember(labels=np.zeros((2, 2), int))
