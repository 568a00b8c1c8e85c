"""Objects against true objects."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.evaluation import EvaluationSet
from napari_wildseg.evaluation.evaluate_objects import (
    corrected_scores,
    evaluate_objects_steps,
    object_scores,
)

ROWS, COLUMNS = np.mgrid[:40, :60]


def scores(found, true, found_labels=None, true_labels=None):
    found, true = np.int32(found), np.int32(true)
    one = (found > 0).astype(np.uint8) if found_labels is None else np.uint8(found_labels)
    other = (true > 0).astype(np.uint8) if true_labels is None else np.uint8(true_labels)
    return object_scores(found, true, one, other)


def test_figures_by_hand():
    true = [[1, 1, 1, 1, 0, 2, 2, 2, 2, 2]]
    assert scores(true, true) == {
        "pq": 1.0,
        "f1_50": 1.0,
        "f1_75": 1.0,
        "ap": 1.0,
        "splits": 0.0,
        "merges": 0.0,
    }
    found = scores([[7, 7, 7, 0, 0, 5, 5, 6, 6, 6]], true)
    assert found["pq"] == pytest.approx((3 / 4 + 3 / 5) / 2.5)
    assert found["f1_50"] == pytest.approx(4 / 5)
    assert found["f1_75"] == 0
    assert (found["splits"], found["merges"]) == (1, 0)
    merged = scores([[3, 3, 3, 3, 3, 3, 3, 3, 3, 3]], true)
    assert (merged["pq"], merged["splits"], merged["merges"]) == (0, 0, 1)


def test_classes_must_agree_and_unlabelled_pixels_do_not_count():
    true = [[1, 1, 1, 0, 0, 0]]
    assert scores(true, true, found_labels=[[2, 2, 2, 0, 0, 0]])["pq"] == 0
    found = [[1, 1, 1, 0, 4, 4]]
    assert scores(found, true)["pq"] == pytest.approx(1 / 1.5)
    assert scores(found, true, true_labels=[[1, 1, 1, 0, 255, 255]])["pq"] == 1


def test_the_annotator_cuts_and_merges():
    box = (abs(ROWS - 20) < 8) & (abs(COLUMNS - 30) < 20)
    labels = box.astype(np.uint8)
    image = np.repeat(labels[..., None] * 99, 3, axis=2)
    true = np.where(box, 1 + (COLUMNS > 30), 0).astype(np.int32)
    found = corrected_scores(labels, image, true, labels, 2)
    assert found[0]["merges"] == 1
    assert found[1]["pq"] > 0.94  # pixels of the cut go to either side
    assert found[2] == found[1]
    gap = labels * (COLUMNS != 30).astype(np.uint8)
    one = gap.astype(np.int32)
    found = corrected_scores(gap, image, one, gap, 1)
    assert found[0]["pq"] < 0.7
    assert found[1]["pq"] == 1


@pytest.fixture
def folder(tmp_path):
    for part in ("images", "masks", "instances"):
        (tmp_path / part).mkdir()
    ids = np.zeros((40, 60), np.uint16)
    for number, (y, x) in enumerate(((15, 15), (15, 33), (25, 50)), start=1):
        ids[(ROWS - y) ** 2 + (COLUMNS - x) ** 2 < 81] = 300 * number
    Image.fromarray(ids).save(tmp_path / "instances" / "a.png")
    Image.fromarray((ids > 0).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    Image.fromarray((ids > 0).astype(np.uint8) * 180).save(tmp_path / "images" / "a.png")
    (tmp_path / "classes.json").write_text(json.dumps({"1": "nucleus"}))
    return tmp_path


def test_a_set(folder):
    found = drain(evaluate_objects_steps(None, EvaluationSet.open(folder), clicks=1))
    assert found["images"] == 1
    assert found["masks"]["pq"] > 0.95
    assert len(found["masks"]["pq_after"]) == 2
    assert "end_to_end" not in found


def test_sets_without_objects_are_refused(folder):
    (folder / "instances" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError):
        drain(evaluate_objects_steps(None, EvaluationSet.open(folder)))
    (folder / "instances" / "a.png").unlink()
    with pytest.raises(InputError, match="instances/"):
        drain(evaluate_objects_steps(None, EvaluationSet.open(folder)))
