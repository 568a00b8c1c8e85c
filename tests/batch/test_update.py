"""Images that were reviewed teach the class memory with which the rest is redone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps
from napari_wildseg.batch.journal import Record
from napari_wildseg.batch.likeness import REVIEW_GROUPS, look_of_image, review_order
from napari_wildseg.batch.memory_in_use import ENCODINGS, MEMORY
from napari_wildseg.batch.remember_images import spread_planes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.progress import drain

from .conftest import contents, write_pictures


@pytest.fixture
def batch(tmp_path, settings):
    """Eight pictures, one of them broken, done once, encodings kept."""
    write_pictures(tmp_path / "pictures", 8, broken=1)
    batch = Batch(
        str(tmp_path / "pictures"),
        "cat, dog",
        tmp_path / "out",
        settings=settings,
        cache_dir=tmp_path / "out" / ENCODINGS,
        workers=1,
    )
    drain(batch_steps(batch))
    return batch


def review(batch, count, value=1):
    """Finish the first images of the queue: their middle is of a class."""
    queue = ReviewQueue(batch.folder)
    names = []
    for place in range(count):
        item = queue.open(place)
        labels = np.zeros_like(item.labels.labels)
        labels[4:12, 4:12] = value
        corrections = labels.astype(np.int16)
        queue.save(item, replace(item.labels, labels=labels, corrections=corrections))
        queue.mark(item.record.name)
        names.append(item.record.name)
    queue.publish()
    return names


def update(batch, **options):
    return drain(batch_steps(Batch("", "", batch.folder, update=True, **options)))


def test_the_rest_is_redone_with_a_memory_of_what_was_reviewed(batch):
    names = review(batch, 3)
    before = contents(batch.folder)
    report = update(batch, cache_dir=batch.cache_dir)
    memory = ClassMemory.load(batch.folder / MEMORY)
    assert [image.name for image in memory.images] == sorted(names)
    assert all(image.finished for image in memory.images)
    assert report.settings["memory"] == memory.digest
    assert len(report.records) == 8
    assert len(report.failed) == 1
    for record in report.done:
        if record.name in names:
            assert record.memory == ""
            assert all((batch.folder / file).read_bytes() == before[file] for file in record.files)
        else:
            assert record.memory == memory.digest[:16]
    # No image was encoded again.
    after = contents(batch.folder)
    encodings = {name for name in after if name.startswith(ENCODINGS)}
    assert encodings == {name for name in before if name.startswith(ENCODINGS)}
    assert len(encodings) == 7
    # The review goes on where it was.
    assert ReviewQueue(batch.folder).reviewed == set(names)


def test_reviewed_images_that_cannot_be_remembered_are_named(batch):
    names = review(batch, 3)
    gone = next(batch.folder.parent.glob(f"pictures/{names[0]}.*"))
    gone.unlink()
    report = update(batch, cache_dir=batch.cache_dir)
    assert list(report.settings["not_remembered"]) == [names[0]]
    written = json.loads((batch.folder / "report.json").read_text())
    assert names[0] in written["settings"]["not_remembered"]
    assert len(ClassMemory.load(batch.folder / MEMORY)) == 2


def test_an_update_is_the_same_with_any_number_of_workers_and_when_it_was_stopped(batch, tmp_path):
    review(batch, 2)
    outcomes = []
    start = contents(batch.folder)
    for workers, stop in ((1, False), (3, False), (1, True)):
        for name in contents(batch.folder):
            (batch.folder / name).unlink()
        for name, data in start.items():
            (batch.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (batch.folder / name).write_bytes(data)
        if stop:
            steps = batch_steps(Batch("", "", batch.folder, update=True, workers=1))
            for progress in steps:
                if progress.record is not None:
                    break
            steps.close()
        update(batch, workers=workers)
        outcomes.append(contents(batch.folder))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0] != start


def test_a_resumed_batch_keeps_what_was_reviewed_and_the_memory(batch):
    names = review(batch, 2)
    update(batch)
    done = contents(batch.folder)
    drain(batch_steps(replace(batch, resume=True)))
    assert contents(batch.folder) == done
    # An image that is new comes out as with the others' memory.
    digest = ClassMemory.load(batch.folder / MEMORY).digest
    write_pictures(batch.folder.parent / "pictures", 9)
    report = drain(batch_steps(replace(batch, resume=True)))
    made = {record.name: record.memory for record in report.done}
    assert made["008"] == digest[:16]
    assert {made[name] for name in names} == {""}


def test_a_batch_is_not_resumed_with_another_memory(batch, tmp_path):
    review(batch, 2)
    update(batch)
    memory = ClassMemory.load(batch.folder / MEMORY)
    other = memory.copy()
    other.forget(image=other.images[0].digest)
    mine = other.save(tmp_path / "other.wildmemory")
    before = contents(batch.folder)
    with pytest.raises(InputError, match="--update"):
        drain(batch_steps(replace(batch, resume=True, memory=mine)))
    assert contents(batch.folder) == before
    kept = memory.save(tmp_path / "same.wildmemory")
    drain(batch_steps(replace(batch, resume=True, memory=kept)))
    (batch.folder / MEMORY).write_bytes(mine.read_bytes())
    with pytest.raises(InputError, match="--memory"):
        drain(batch_steps(replace(batch, resume=True)))


def test_a_batch_starts_with_a_memory(batch, tmp_path):
    review(batch, 2)
    update(batch)
    memory = ClassMemory.load(batch.folder / MEMORY)
    mine = memory.save(tmp_path / "mine.wildmemory")
    folder = tmp_path / "second"
    report = drain(batch_steps(replace(batch, folder=folder, memory=mine, cache_dir=None)))
    assert {record.memory for record in report.done} == {memory.digest[:16]}
    header = json.loads((folder / ".wildseg-batch/journal.jsonl").read_text().splitlines()[0])
    assert header["memory"] == memory.digest
    # What a memory of another model would do is said before the first image.
    other = replace(batch.settings, views="fast")
    with pytest.raises(InputError, match="views"):
        drain(batch_steps(replace(batch, folder=tmp_path / "third", memory=mine, settings=other)))


def test_nothing_to_update(batch, tmp_path):
    with pytest.raises(InputError, match="reviewed yet"):
        update(batch)
    with pytest.raises(InputError, match="no batch"):
        drain(batch_steps(Batch("", "", tmp_path / "nowhere", update=True)))
    assert not (tmp_path / "nowhere").exists()


def test_a_batch_made_anew_forgets_reviews(batch):
    review(batch, 2)
    drain(batch_steps(replace(batch, overwrite=True)))
    assert ReviewQueue(batch.folder).reviewed == set()
    with pytest.raises(InputError, match="reviewed yet"):
        update(batch)


def records_of(looks, scores):
    return [
        Record(f"{number:02}", f"/{number}.png", uncertainty={"score": score}, look=look)
        for number, (look, score) in enumerate(zip(looks, scores, strict=True))
    ]


def test_images_of_different_looks_are_reviewed_first():
    random = np.random.default_rng(0)
    kinds = np.repeat([0.0, 10.0, 50.0], [20, 8, 4])
    looks = [(float(kind + random.normal(0, 0.1)), 1.0) for kind in kinds]
    records = records_of(looks, np.linspace(1, 0, 32))
    order = review_order(records, set())
    assert sorted(r.name for r in order) == sorted(r.name for r in records)
    first = {int(record.name) for record in order[:REVIEW_GROUPS]}
    assert any(n < 20 for n in first)
    assert any(20 <= n < 28 for n in first)
    assert any(n >= 28 for n in first)
    rest = [record.name for record in order[REVIEW_GROUPS:]]
    assert rest == sorted(rest)
    # A look that was reviewed is not proposed again; a few more and only uncertainty counts.
    same = records_of([(float(kind), 1.0) for kind in kinds], np.linspace(1, 0, 32))
    assert [record.name for record in review_order(same, set())[:3]] == ["00", "20", "28"]
    assert [record.name for record in review_order(same, {"25"})[:3]] == ["00", "28", "01"]
    assert review_order(records, {f"{n:02}" for n in range(REVIEW_GROUPS)}) == tuple(records)
    old = records_of([()] * 32, np.linspace(1, 0, 32))
    assert review_order(old, set()) == tuple(old)


def test_looks_tell_colours_and_textures_apart():
    grey = np.full((300, 200, 3), 90, np.uint8)
    pink = np.broadcast_to(np.uint8([200, 120, 160]), grey.shape)
    noise = np.random.default_rng(0).integers(0, 180, (300, 200, 1)).astype(np.uint8).repeat(3, 2)
    looks = [np.array(look_of_image(image)) for image in (grey, pink, noise, grey[:, ::-1])]
    assert np.array_equal(looks[0], looks[3])
    assert np.linalg.norm(looks[0] - looks[1]) > 10
    assert np.linalg.norm(looks[0] - looks[2]) > 10


def test_few_planes_of_a_stack_are_enough():
    assert spread_planes([4]) == [4]
    assert spread_planes(list(range(10, 21))) == [10, 15, 20]
