"""Files that version 0.1.0 wrote are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.batch import Batch, BatchSettings, batch_steps
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.disk_cache import EncodingCache
from napari_wildseg.engine.progress import drain
from napari_wildseg.io import COCODataSet, VOCDataSet, load_project, read_labels
from napari_wildseg.io.class_sets import read_class_set

FOLDER = Path(__file__).parent / "data" / "0.1"
CLASSES = parse_classes("cat, cup of coffee=cup|mug")


@pytest.fixture(params=["ea697cc", "f2efbe5"])
def old(request, tmp_path):
    """A copy of the files that one commit wrote, in ``/images``."""
    folder = shutil.copytree(FOLDER / request.param, tmp_path / "old")
    journal = folder / "batch" / ".wildseg-batch" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    for line in lines:
        if "image" in line:
            line["image"] = str(folder / "pictures" / Path(line["image"]).name)
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


@pytest.fixture
def expected(old):
    return np.load(old / "expected.npy")


@pytest.fixture
def picture(old):
    return np.asarray(Image.open(old / "pictures" / "000.png"))


@pytest.fixture(autouse=True)
def one_model(monkeypatch, starter):
    from napari_wildseg.engine import segmenter_base

    monkeypatch.setattr(segmenter_base, "load_model", lambda *args, **options: starter)


def test_a_project_is_read_and_continued(old, expected, picture):
    project = load_project(old / "one.wildseg")
    assert (project.labels.labels == expected).all()
    assert project.labels.classes == CLASSES
    assert project.state == {"done": True}
    fixed = np.full((24, 32), -1, np.int16)
    fixed[2, 3:9], fixed[5:7, 5], fixed[20, 30] = 2, 0, 1
    assert (project.labels.corrections == fixed).all()
    assert project.relevance.shape == (2, 24, 32)
    segmenter = project.resume(picture)
    assert (segmenter.result.labels == expected).all()
    assert segmenter.threshold == 0.2
    found = segmenter.refine(fixed).labels
    assert (found[fixed >= 0] == fixed[fixed >= 0]).all()
    with pytest.raises(InputError, match="not the image"):
        project.resume(255 - picture)


@pytest.mark.parametrize("ending", ["png", "npz", "tif", "json"])
def test_labels_are_read(old, expected, ending):
    found = read_labels(old / "labels" / f"one_{ending}.{ending}")
    assert (found.labels == expected).all()
    assert found.classes == CLASSES


@pytest.mark.parametrize("kind", [COCODataSet, VOCDataSet])
def test_a_data_set_is_read_and_grows(old, expected, picture, kind):
    data = kind(old / kind.__name__)
    assert data.stems() == ["one"]
    assert [info.name for info in data.classes] == ["cat", "cup of coffee"]
    one = data.read("one")
    assert (one.labels == expected).all()
    data.add("two", picture, one)
    assert kind(old / kind.__name__).stems() == ["one", "two"]


def test_a_batch_that_was_interrupted_goes_on(old):
    done = {path.name: path.read_bytes() for path in (old / "batch").glob("00*")}
    assert len(done) == 4
    batch = Batch(
        str(old / "pictures"),
        "cat, cup of coffee=cup|mug",
        old / "batch",
        settings=BatchSettings(views="single"),
        resume=True,
        mix_versions=True,
        workers=1,
    )
    seen = []
    report = drain(batch_steps(batch), seen.append)
    assert seen[0].resumed == 2
    assert sorted(record.name for record in report.done) == ["000", "001", "002"]
    assert [record.name for record in report.failed] == ["003"]
    assert {name: (old / "batch" / name).read_bytes() for name in done} == done


def test_encodings_are_read(old):
    [path] = (old / "cache").iterdir()
    [view] = EncodingCache(folder=path.parent).get(path.stem)
    assert path.is_file(), "a file that cannot be read is removed"
    assert np.isfinite(view.embedding.numpy()).all()
    assert view.embedding.shape == (16,)


def test_a_class_set_is_read():
    assert read_class_set(FOLDER / "f2efbe5" / "classes.json") == CLASSES
