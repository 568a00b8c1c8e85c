"""`result.save(path)`: from the engine to files."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.result import Result
from napari_wildseg.io import FORMATS, load_project, read_labels


@pytest.fixture
def result():
    labels = np.zeros((6, 8), np.uint8)
    labels[1:4, 2:6] = 2
    pseudo = labels.copy()
    pseudo[0] = 255
    corrections = np.full((6, 8), -1, np.int16)
    corrections[1, 2:5] = 2
    return Result(
        labels,
        pseudo,
        np.zeros((1, 6, 8), np.float32),
        (ClassInfo(2, "cat", ("cat", "kitten"), (9, 8, 7)),),
        "starter",
        {"threshold": 0.5, "refiner": "default"},
        corrections=corrections,
    )


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_results_are_saved_by_ending(tmp_path, result, format):
    path = tmp_path / f"x{format.suffixes[0]}"
    written = result.save(path, image="photo", scale=(0.5, 0.25), units="micrometer")
    assert path in written
    found = read_labels(path)
    assert (found.labels == result.labels).all()
    assert found.classes == result.classes
    assert (found.scale, found.units) == ((0.5, 0.25), "micrometer")
    assert (found.image, found.model) == ("photo", "starter")
    assert found.settings["threshold"] == 0.5


def test_a_project_holds_the_pseudo_labels_and_corrections_too(tmp_path, result):
    assert result.save(tmp_path / "x.wildseg") == [tmp_path / "x.wildseg"]
    found = load_project(tmp_path / "x.wildseg")
    assert (found.pseudo_labels == result.pseudo_labels).all()
    assert (found.labels.corrections == result.corrections).all()


def test_existing_files_stay_unless_asked(tmp_path, result):
    result.save(tmp_path / "x.png")
    with pytest.raises(InputError, match="already there"):
        result.save(tmp_path / "x.png")
    result.save(tmp_path / "x.png", overwrite=True)
    with pytest.raises(InputError, match="no ending"):
        result.save(tmp_path / "x.docx")


def test_options_of_the_format_go_along(tmp_path, result):
    result.save(tmp_path / "x.json", segmentation="polygon")
    assert '"segmentation": [' in (tmp_path / "x.json").read_text("utf-8")
