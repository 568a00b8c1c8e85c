"""``wildseg remember``, ``--memory`` and ``evaluate --series`` end to end, with a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.batch import ReviewQueue
from napari_wildseg.engine.memory import ClassMemory

from ..batch.conftest import write_pictures
from ..engine.evaluation.helpers import write_set


@pytest.fixture
def model(light_model):
    return ("--model", light_model, "--views", "single")


@pytest.fixture
def data(tmp_path):
    """Four images of 48 x 48 whose lower half is class 4; one mask is empty."""
    masks = {}
    for number, stem in enumerate("abcd"):
        mask = np.zeros((48, 48), np.uint8)
        if stem != "d":
            mask[20 + number :] = 4
        masks[stem] = mask
    return write_set(tmp_path / "set", masks, classes={"4": "cat"})


@pytest.fixture
def memory(wildseg, data, model):
    assert wildseg("remember", data, "-o", "cats.wildmemory", *model).status == 0
    return "cats.wildmemory"


def test_a_labelled_set_becomes_a_memory(wildseg, data, model, tmp_path):
    ran = wildseg("remember", data, "-o", "cats.wildmemory", *model, "--json")
    assert ran.status == 0
    found = json.loads(ran.out)
    assert [image["name"] for image in found["images"]] == ["a", "b", "c"]
    assert all(image["finished"] and image["classes"] == ["cat"] for image in found["images"])
    assert found["classes"] == [{"name": "cat", "images": 3, "finished": 3}]
    assert set(found["images"][0]["hindsight"]["cat"]) == {"without", "with"}
    assert list(found["left_out"]) == ["d"]
    assert "d left out: none of the classes" in ran.err
    memory = ClassMemory.load(tmp_path / "cats.wildmemory")
    assert memory.digest == found["digest"]
    again = wildseg("remember", data, "-o", "cats.wildmemory", *model)
    assert (again.status, again.err.count("\n")) == (2, 1)
    # More images are added to a memory, and the same ones replace themselves.
    ran = wildseg(
        "remember",
        data,
        "-o",
        "more.wildmemory",
        "--memory",
        "cats.wildmemory",
        *model,
        "--limit",
        2,
    )
    assert ran.status == 0
    assert ClassMemory.load(tmp_path / "more.wildmemory").digest == memory.digest
    assert "cat" in ran.out


def test_masks_of_0_and_255_are_read_as_the_annotator_says(wildseg, model, tmp_path):
    mask = np.zeros((48, 48), np.uint8)
    mask[20:] = 255
    masks = {"a": mask, "b": np.roll(mask, 3, axis=0)}
    data = write_set(tmp_path / "blobs", masks, classes={"1": "blob"})
    remember = ("remember", data, "-o", "blobs.wildmemory", *model)
    refused = wildseg(*remember)
    assert refused.status == 2
    assert wildseg(*remember, "--value-255", "class").status == 0
    assert [c.images for c in ClassMemory.load(tmp_path / "blobs.wildmemory").classes] == [2]


def test_a_memory_is_used_and_said(wildseg, memory, model):
    image = "set/images/a.png"
    wildseg("segment", image, "--labels", "cat", *model, "--json", "--out", "plain")
    ran = wildseg(
        "segment", image, "--labels", "cat", *model, "--json", "--out", "out", "--memory", memory
    )
    assert ran.status == 0
    assert any(
        "cat" in notice and "3 images" in notice for notice in json.loads(ran.out)["notices"]
    )
    assert "memory" in json.loads(Path("out/a.json").read_text())["settings"]
    assert "memory" not in json.loads(Path("plain/a.json").read_text())["settings"]


def test_classes_that_the_memory_finds_are_suggested(wildseg, data, model):
    ran = wildseg("remember", data, "-o", "cats.wildmemory", "--alike", *model)
    assert ran.status == 0
    Path("names.txt").write_text("dog\nhorse\n")
    image = "set/images/a.png"
    plain = wildseg("suggest", image, "--vocabulary", "names.txt", *model, "--json")
    assert {s["name"] for s in json.loads(plain.out)["suggestions"]} <= {"dog", "horse"}
    ran = wildseg(
        "suggest", image, "--vocabulary", "names.txt", *model, "--json",
        "--memory", "cats.wildmemory",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    first = json.loads(ran.out)["suggestions"][0]
    assert first["name"] == "cat"
    assert first["present"]


def test_refine_decides_with_a_memory(wildseg, memory, model, tmp_path):
    assert wildseg("segment", "set/images/a.png", "--labels", "cat", *model).status == 0
    start = np.array(Image.open("wildseg-out/a.png"))
    start[10:40] = 255
    picture = Image.fromarray(start)
    picture.save("wildseg-out/a.png")
    fixed = np.full((48, 48), -1, np.int16)
    fixed[:4, :4] = 1
    np.save("fixed.npy", fixed)
    ran = wildseg(
        "refine", "set/images/a.png", "wildseg-out/a.png", "--corrections", "fixed.npy",
        "--memory", memory, "--out", "refined",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    labels = np.array(Image.open("refined/a.png"))
    assert not (labels == 255).any()
    assert (labels[:4, :4] == 1).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment", "set/images/a.png", "--labels", "cat", "--memory", "no.wildmemory"), "no"),
        (
            ("segment", "set/images/a.png", "--labels", "cat", "--memory", "cats.wildmemory"),
            "model",
        ),
        (("remember", "set", "-o", "x.wildmemory", "--memory", "cats.wildmemory"), "model"),
        (("remember", "nowhere", "-o", "x.wildmemory"), "nowhere"),
    ],
)
def test_it_says_what_is_wrong(wildseg, memory, arguments, words, tmp_path):
    ran = wildseg(*arguments)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert not (tmp_path / "x.wildmemory").exists()


def test_a_reviewed_batch_becomes_a_memory_and_is_updated(wildseg, model, tmp_path):
    write_pictures(tmp_path / "photos", 5)
    assert wildseg("batch", "photos", "--labels", "cat, dog", *model, "--out", "out").status == 0
    ran = wildseg("batch", "--update", "--out", "out")
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "reviewed" in ran.err
    queue = ReviewQueue(tmp_path / "out")
    for place in (0, 1):
        item = queue.open(place)
        labels = np.zeros_like(item.labels.labels)
        labels[4:12, 4:12] = 1
        queue.save(item, replace(item.labels, labels=labels))
    queue.publish()
    ran = wildseg("remember", "out", "-o", "reviewed.wildmemory")
    assert ran.status == 0, ran.err
    memory = ClassMemory.load(tmp_path / "reviewed.wildmemory")
    assert len(memory) == 2
    ran = wildseg("batch", "--update", "--out", "out", "--json")
    assert ran.status == 0
    assert json.loads(ran.out)["images_this_run"] == 3
    # The same memory, learned either way.
    kept = ClassMemory.load(tmp_path / "out/.wildseg-batch/memory.wildmemory")
    assert kept.digest == memory.digest
    ran = wildseg("batch", "--update", "photos", "--labels", "cat", "--out", "out")
    assert ran.status == 2
    ran = wildseg("batch", "photos")
    assert (ran.status, "which classes" in ran.err) == (2, True)


def test_a_series_is_measured(wildseg, data, model):
    ran = wildseg(
        "evaluate", data, "--series", "--finish", "--orders", 2, "--clicks", 1, *model,
        "--compare", "forest", "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert [(e["order"], e["place"]) for e in found["series"]] == [
        (order, place) for order in (0, 1) for place in (1, 2, 3)
    ]
    for entry in found["series"]:
        assert {e: len(entry[e]) for e in ("without", "with", "forest")} == {
            "without": 2, "with": 2, "forest": 2
        }  # fmt: skip
        if entry["place"] == 1:  # nothing is remembered yet
            assert entry["with"] == entry["without"]
    assert "worse" in found["series_summary"]
    ran = wildseg("evaluate", data, "--series", "--orders", 1, *model)
    assert ran.status == 0
    assert "last, with" in ran.out


@pytest.mark.parametrize(
    "options",
    [
        ("--finish",),
        ("--compare", "forest"),
        ("--series", "--compare", "default"),
        ("--series", "--labels", "auto"),
    ],
)
def test_options_of_a_series_that_do_not_go_together(wildseg, data, options):
    ran = wildseg("evaluate", data, *options)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "series" in ran.err.lower()
