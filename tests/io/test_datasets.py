"""Data sets that several programs write to, or whose writer is killed."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import COCODataSet, LabelImage, VOCDataSet
from napari_wildseg.io.safety.locks import locked

PICTURE = np.zeros((8, 8, 3), np.uint8)
SETS = pytest.mark.parametrize("kind", [VOCDataSet, COCODataSet])


def labels_of(name: str, value: int = 1) -> LabelImage:
    info = ClassInfo(value, name, (name,), (value, 2, 3))
    return LabelImage(np.full((8, 8), value, np.uint8), (info,))


def name_in(data, stem: str) -> str:
    found = data.read(stem)
    (value,) = np.unique(found.labels)
    return {info.id: info.name for info in found.classes}[value]


@SETS
def test_two_writers_take_turns_and_take_each_others_classes(tmp_path, kind):
    wrong = []

    def write(name):
        data = kind(tmp_path)  # opened before the other has written anything, as two windows do
        start.wait()
        try:
            for number in range(6):
                data.add(f"{name}{number}", PICTURE, labels_of(name))
        except BaseException as error:
            wrong.append(error)

    start = threading.Barrier(3)
    threads = [threading.Thread(target=write, args=(name,)) for name in ("cat", "dog", "cow")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    data = kind(tmp_path)
    assert sorted(data.stems()) == sorted(
        f"{n}{i}" for n in ("cat", "dog", "cow") for i in range(6)
    )
    assert all(name_in(data, stem) == stem[:3] for stem in data.stems())
    assert sorted(info.id for info in data.classes) == [1, 2, 3]


@SETS
def test_an_open_set_takes_classes_that_were_added_since(tmp_path, kind):
    one, two = kind(tmp_path), kind(tmp_path)
    one.add("a", PICTURE, labels_of("cat"))
    two.add("b", PICTURE, labels_of("dog"), split="val")
    one.add("c", PICTURE, labels_of("cow"))
    again = kind(tmp_path)
    assert [info.name for info in again.classes] == ["cat", "dog", "cow"]
    assert [name_in(again, stem) for stem in again.stems()] == ["cat", "cow"]


@SETS
def test_a_set_that_another_program_keeps_locked_is_not_touched(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("napari_wildseg.io.safety.locks._LOCK_SECONDS", 0)
    data = kind(tmp_path)
    data.add("a", PICTURE, labels_of("cat"))
    before = sorted(tmp_path.rglob("*"))
    with (
        locked(tmp_path / ".wildseg-lock", "A test"),
        pytest.raises(InputError, match="Another program is writing to .*: wait for it"),
    ):
        data.add("b", PICTURE, labels_of("dog"))
    assert sorted(tmp_path.rglob("*")) == before
    data.add("b", PICTURE, labels_of("dog"))


@SETS
def test_the_output_of_a_batch_is_not_added_to(tmp_path, kind):
    (tmp_path / ".wildseg-batch").mkdir()
    with pytest.raises(InputError, match="output of a batch"):
        kind(tmp_path).add("a", PICTURE, labels_of("cat"))


@SETS
@pytest.mark.parametrize("overwrite", [True, False])
def test_killed_at_any_moment_a_set_is_old_or_new(tmp_path, kind, overwrite, monkeypatch):
    work = tmp_path / "work"
    data = kind(work)
    data.add("a", PICTURE, labels_of("cat"))
    data.add("b", PICTURE, labels_of("dog"))
    moments = []

    def watched(real):
        def call(path, *args, **kwargs):
            moments.append(shutil.copytree(work, tmp_path / f"m{len(moments)}"))
            return real(path, *args, **kwargs)

        return call

    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    new = "b" if overwrite else "c"
    data.add(new, 255 - PICTURE, labels_of("cow"), overwrite=overwrite)
    monkeypatch.undo()
    assert len(moments) >= 3
    seen = set()
    for folder in moments:
        found = kind(folder)
        names = {stem: name_in(found, stem) for stem in found.stems()}
        old = {"a": "cat", "b": "dog"}
        assert names in (old, old | {new: "cow"})
        seen.add(names.get(new))
        found.add("d", PICTURE, replace(labels_of("hen", 7)))
        again = kind(folder)
        assert {stem: name_in(again, stem) for stem in again.stems()} == names | {"d": "hen"}
        assert not list(folder.glob(".wildseg-*.*"))
    assert "cow" in seen


@pytest.mark.parametrize("line", ["../../victim", "/etc/passwd", "..", "a/b"])
def test_names_on_a_list_do_not_lead_out_of_the_set(tmp_path, line):
    data = VOCDataSet(tmp_path)
    data.add("a", PICTURE, labels_of("cat"))
    listing = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt"
    listing.write_text(f"a\n{line}\n")
    assert data.stems() == ["a", line]
    with pytest.raises(InputError, match="cannot be a file's name"):
        data.read(line)
    with pytest.raises(InputError, match="cannot be a file's name"):
        data.add(line, PICTURE, labels_of("cat"))
