"""Memory files: back as they were, nothing in them trusted."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from napari_wildseg import ClassMemory, InputError
from napari_wildseg.engine.memory import ImageRecord, Source
from napari_wildseg.engine.memory.filters import FILTERS

SOURCE = Source("starter", "abc", "cam", "default")


def record(seed, classes=("nucleus",), n=5, m=11):
    random = np.random.default_rng(seed)
    width = len(classes) + 1

    def half(*shape):
        return random.random(shape).astype(np.float16)

    return ImageRecord(
        f"{seed:064x}",
        f"{seed}.png",
        seed % 2 == 0,
        classes,
        half(n, 7),
        half(n, 3),
        half(n, width),
        half(n, width),
        np.full(n, 1 / n, np.float32),
        half(m, FILTERS),
        random.integers(0, n, m).astype(np.uint16),
        random.integers(0, width, m).astype(np.uint8),
        np.full(m, 1 / m, np.float32),
    )


def memory_of(*records, alike=False):
    return ClassMemory.of(SOURCE if records else None, records, alike=alike)


def test_a_memory_comes_back_as_it_was(tmp_path):
    memory = memory_of(record(1), record(2, ("a", "b"), 9), alike=True)
    path = memory.save(tmp_path / "m.wildmemory")
    again = ClassMemory.load(path)
    assert again.digest == memory.digest
    assert again.images == memory.images
    assert again.alike
    assert again.source == SOURCE
    again.save(tmp_path / "n.wildmemory")
    assert path.read_bytes() == (tmp_path / "n.wildmemory").read_bytes()
    with pytest.raises(InputError):
        memory.save(path)
    memory_of().save(path, overwrite=True)
    assert len(ClassMemory.load(path)) == 0


def rewritten(path, change):
    """Write the file again with a changed description."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(members["about.json"])
    change(about, members)
    members["about.json"] = json.dumps(about).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


CHANGES = {
    "another format": lambda about, _: about.update(format="napari-wildseg project"),
    "a later version": lambda about, _: about.update(version=99),
    "a version that is no number": lambda about, _: about.update(version=True),
    "no source": lambda about, _: about.pop("source"),
    "a source that is none": lambda about, _: about.update(source="starter"),
    "images that are none": lambda about, _: about.update(images=[3]),
    "too many pieces": lambda about, _: about["images"][1].update(pieces=6),
    "too few pieces": lambda about, _: about["images"][0].update(pieces=4),
    "too few pixels": lambda about, _: about["images"][1].update(pixels=10),
    "pieces below zero": lambda about, _: about["images"][0].update(pieces=-5),
    "a class that is no text": lambda about, _: about["images"][0].update(classes=[1]),
    "too many classes": lambda about, _: about["images"][0].update(classes=["a", "b", "c"]),
    "no classes": lambda about, _: about["images"][0].update(classes=[]),
    "one image twice": lambda about, _: about["images"][0].update(about["images"][1]),
    "no description": lambda about, _: about.clear(),
    "an array that is missing": lambda _, members: members.pop("features.npy"),
    "an array that is cut": lambda _, members: members.update({"prior.npy": b"\x93NUMPY"}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_damaged_or_foreign_file_is_refused_in_one_sentence(tmp_path, kind):
    path = memory_of(record(1), record(2)).save(tmp_path / "m.wildmemory")
    rewritten(path, CHANGES[kind])
    with pytest.raises(InputError) as caught:
        ClassMemory.load(path)
    assert "m.wildmemory" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_refused(tmp_path):
    bad = record(1)
    bad.features[0, 0] = np.nan
    path = memory_of(bad).save(tmp_path / "m.wildmemory")
    with pytest.raises(InputError):
        ClassMemory.load(path)
