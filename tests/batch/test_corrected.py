"""Corrected labels are kept, and carried along stacks."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import drain
from napari_wildseg.io import LabelImage, read_labels, write_labels

from .conftest import contents

PLANES = 6
SHAPE = (24, 36)


def movie() -> np.ndarray:
    """A bright square that moves to the right on a dark ground."""
    planes = np.full((PLANES, *SHAPE), 30, np.uint8)
    for number in range(PLANES):
        planes[number, 7:17, 4 + 3 * number : 14 + 3 * number] = 220
    return planes


@pytest.fixture
def batch(tmp_path, settings):
    """A movie and a picture; the labels of the movie's third plane and of the picture are known."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    tifffile.imwrite(folder / "movie.tif", movie(), photometric="minisblack")
    Image.fromarray(movie()[0]).save(folder / "single.png")
    known = tmp_path / "known"
    known.mkdir()
    classes = parse_classes("square")
    truth = (movie()[2] > 100).astype(np.uint8)
    write_labels(known / "movie_0002.png", LabelImage(truth, classes))
    part = np.full(SHAPE, 255, np.uint8)
    part[:5] = 1
    write_labels(known / "single.png", LabelImage(part, classes))
    return Batch(str(folder), "other, square", tmp_path / "out", settings=settings, corrected=known)


def test_corrected_labels_are_kept_and_carried(batch):
    report = drain(batch_steps(batch))
    assert len(report.done) == PLANES + 1
    for number in range(PLANES):
        found = read_labels(batch.folder / f"movie_{number:04}.png")
        truth = movie()[number] > 100
        assert [info.name for info in found.classes] == ["other", "square"]
        square = found.labels == 2  # the id in this batch
        iou = (square & truth).sum() / (square | truth).sum()
        assert iou == 1 if number == 2 else iou > 0.7, number
    by_name = {record.name: record for record in report.records}
    assert by_name["movie_0002"].uncertainty["score"] == 0
    assert by_name["movie_0001"].uncertainty["score"] > 0
    assert by_name["single"].uncertainty["score"] > 0, "255 is not a correction"
    assert (read_labels(batch.folder / "single.png").labels[:5] == 2).all()


def test_a_stack_that_was_interrupted_ends_the_same(batch):
    whole = replace(batch, folder=batch.folder.with_name("whole"), workers=1)
    drain(batch_steps(whole))
    steps = batch_steps(replace(batch, workers=1))
    while next(steps).done < 3:
        pass
    steps.close()
    seen = []
    drain(batch_steps(replace(batch, workers=2, resume=True)), seen.append)
    assert 3 <= seen[0].resumed < PLANES
    assert contents(batch.folder) == contents(whole.folder)
    assert batch.corrected is not None
    os.utime(batch.corrected / "single.png")
    drain(batch_steps(replace(batch, resume=True)))
    write_labels(batch.corrected / "movie_0004.png", LabelImage(np.zeros(SHAPE, np.uint8), ()))
    with pytest.raises(InputError, match="other corrected labels"):
        drain(batch_steps(replace(batch, resume=True)))


def test_what_was_corrected_in_review_is_carried(batch, tmp_path):
    first = replace(batch, corrected=None, labels="square")
    drain(batch_steps(first))
    queue = ReviewQueue(first.folder)
    place = [record.name for record in queue.records].index("movie_0003")
    item = queue.open(place)
    truth = (movie()[3] > 100).astype(np.uint8)
    fixed = np.where(truth, np.int16(1), np.int16(0))
    queue.save(item, replace(item.labels, labels=truth, corrections=fixed))
    queue.publish()
    second = replace(batch, corrected=first.folder, folder=tmp_path / "second")
    drain(batch_steps(second))
    for number in (2, 3, 4):
        square = read_labels(second.folder / f"movie_{number:04}.png").labels == 2
        truth = movie()[number] > 100
        assert (square & truth).sum() / (square | truth).sum() > 0.7


def test_labels_that_cannot_be_used_are_told(batch, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        drain(batch_steps(replace(batch, corrected=tmp_path / "nowhere")))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file, not a folder"):
        drain(batch_steps(replace(batch, corrected=tmp_path / "file")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"movie_0000.png for instance"):
        drain(batch_steps(replace(batch, corrected=tmp_path / "empty")))
    assert batch.corrected is not None
    write_labels(
        batch.corrected / "movie_0005.png",
        LabelImage(np.ones(SHAPE, np.uint8), parse_classes("cow")),
    )
    (batch.corrected / "single.png").write_bytes(b"no picture")
    report = drain(batch_steps(batch))
    assert [r.name for r in report.failed] == ["movie_0005", "single"]
    assert '"cow", which is no class of this batch' in report.failed[0].failure
    assert len(report.done) == PLANES - 1
