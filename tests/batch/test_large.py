"""Large images, zarr and stacks in a batch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.engine.progress import drain
from napari_wildseg.io import image_files, read_labels


def picture(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A bright patch on a dark ground."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 60, (rows, columns, 3), dtype=np.uint8)
    values[rows // 4 : rows // 2, columns // 4 : columns // 2] += 150
    return values


@pytest.fixture
def batch(tmp_path, settings, monkeypatch):
    """A small picture, a large one, a zarr and two stacks; "large" begins at 48 x 48 pixels."""
    monkeypatch.setattr(image_files, "LARGE_IMAGE_PIXELS", 48 * 48)
    folder = tmp_path / "pictures"
    folder.mkdir()
    tifffile.imwrite(folder / "small.tif", picture(30, 40))
    tifffile.imwrite(folder / "large.tif", picture(64, 80))
    array = zarr.open_array(folder / "slide.zarr", mode="w", shape=(70, 60, 3), dtype="uint8")
    array[...] = picture(70, 60)
    stack = zarr.open_array(folder / "movie.zarr", mode="w", shape=(2, 30, 40), dtype="uint8")
    stack[...] = picture(60, 40)[..., 0].reshape(2, 30, 40)
    wide = np.stack([picture(64, 60, seed)[..., 0] for seed in (0, 1)])
    tifffile.imwrite(folder / "wide.tif", wide, photometric="minisblack")
    return Batch(
        str(folder), "cat, dog", tmp_path / "out", "ome-zarr", settings=settings, workers=2
    )


NAMES = ["large", "movie_0000", "movie_0001", "slide", "small", "wide_0000", "wide_0001"]


def test_large_images_zarr_and_planes_are_done(batch, monkeypatch):
    """Labels of more than MAX_PIXELS_IN_MEMORY pixels are written by tiles, and are the same."""
    report = drain(batch_steps(batch))
    assert [record.name for record in report.records] == NAMES
    assert not report.failed
    whole = {r.name: read_labels(batch.folder / r.files[0]) for r in report.records}
    monkeypatch.setattr("napari_wildseg.batch.one_image.MAX_PIXELS_IN_MEMORY", 1000)
    report = drain(batch_steps(Batch(**{**vars(batch), "overwrite": True})))
    for record in report.records:
        found = read_labels(batch.folder / record.files[0])
        assert found.labels.shape == record.size
        np.testing.assert_array_equal(found.labels, whole[record.name].labels)
        assert found.image == record.name
        assert "refined" in found.settings
        assert sum(record.classes.values()) == np.count_nonzero(found.labels)
        assert 0 < record.uncertainty["score"] <= 1


def test_what_cannot_be_written_by_tiles_is_reported(batch, monkeypatch):
    monkeypatch.setattr("napari_wildseg.batch.one_image.MAX_PIXELS_IN_MEMORY", 1000)
    report = drain(batch_steps(Batch(**{**vars(batch), "format": "png"})))
    assert [r.name for r in report.failed] == ["large", "slide", "wide_0000", "wide_0001"]
    assert "use --format ome-zarr" in report.failed[0].failure.lower()


def test_known_and_automatic_classes_of_large_images(batch, tmp_path):
    known = {"large.tif": ["dog"], "slide.zarr": [], "movie.zarr": ["cat"], "wide.tif": ["cat"]}
    (tmp_path / "known.json").write_text(json.dumps({**known, "small": []}))
    report = drain(batch_steps(Batch(**{**vars(batch), "labels": str(tmp_path / "known.json")})))
    assert not report.failed
    by_name = {r.name: r for r in report.records}
    names = {info.id: info.name for info in report.classes}
    assert [names[n] for n in by_name["large"].classes] == ["dog"]
    assert by_name["slide"].uncertainty["score"] == 0
    again = {"labels": "cat, dog, horse", "if_present": True, "overwrite": True}
    assert not drain(batch_steps(Batch(**{**vars(batch), **again}))).failed


def test_large_images_can_be_reviewed(batch, monkeypatch):
    drain(batch_steps(batch))
    queue = ReviewQueue(batch.folder)
    for place, record in enumerate(queue.records):
        assert queue.open(place).rgb.shape == (*record.size, 3)
    monkeypatch.setattr(image_files, "MAX_PIXELS_IN_MEMORY", 1000)
    place = [record.name for record in queue.records].index("slide")
    with pytest.raises(Exception, match="60 x 70 pixels"):
        queue.open(place)
