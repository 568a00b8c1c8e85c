"""Files are whole or not there."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.io import FORMATS, LabelImage, load_project, read_labels, write_labels
from napari_wildseg.io.atomic import (
    atomic_path,
    atomic_write,
    plan_path,
    refuse_existing,
    remove_leftovers,
    sync,
)
from napari_wildseg.io.formats import png


def test_existing_files_are_kept(tmp_path):
    path = tmp_path / "x.bin"
    atomic_write(path, b"old")
    with pytest.raises(InputError, match="already there"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    atomic_write(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "x.bin"
    with pytest.raises(InputError, match="already there"), atomic_path(path) as temporary:
        temporary.write_bytes(b"ours")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("stop")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_a_sentence(tmp_path):
    with (
        pytest.raises(WildsegError, match="x.bin cannot be written: no space left"),
        atomic_path(tmp_path / "x.bin") as temporary,
    ):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WildsegError, match="file is a file, not a folder: choose another place"):
        atomic_write(tmp_path / "file" / "sub" / "x.bin", b"")


def test_missing_folders_are_made(tmp_path):
    atomic_write(tmp_path / "a" / "größe b" / "x.bin", b"1")
    assert (tmp_path / "a" / "größe b" / "x.bin").read_bytes() == b"1"


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        refuse_existing([tmp_path], overwrite=True)
    with pytest.raises(InputError, match="cannot be a file's name"):
        refuse_existing([Path("a\0b")], overwrite=False)


def one_class(value, name):
    return LabelImage(
        np.full((8, 8), value, np.uint8), (ClassInfo(value, name, (name,), (value, 0, 0)),)
    )


@pytest.fixture
def moments(tmp_path, monkeypatch):
    """Copies of a folder as a process leaves it that is killed before or after any rename."""
    copies, numbers = [], itertools.count()

    def snapshot():
        copies.append(tmp_path / "moments" / str(next(numbers)))
        shutil.copytree(tmp_path / "work", copies[-1])

    def watched(real):
        def call(path, *args, **kwargs):
            ours = Path(path).parent == tmp_path / "work"  # zarr renames parts, on threads
            if ours:
                snapshot()
            result = real(path, *args, **kwargs)
            if ours:
                snapshot()
            return result

        return call

    for name in ("replace", "rename", "link", "unlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    monkeypatch.setattr("napari_wildseg.io.atomic.sync", watched(sync))
    (tmp_path / "work").mkdir()
    return copies


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("first", [True, False], ids=["new", "replaced"])
def test_killed_at_any_moment_a_file_is_old_or_new(tmp_path, moments, format, first, monkeypatch):
    path = tmp_path / "work" / f"x{format.suffixes[0]}"
    if not first:
        write_labels(path, one_class(1, "healthy"))
    moments.clear()
    write_labels(path, one_class(2, "tumour"), overwrite=not first)
    monkeypatch.undo()
    assert len(moments) >= 2
    seen = set()
    for folder in moments:
        there = folder / path.name
        for _ in range(2):
            try:
                found = read_labels(there)
            except InputError:
                found = None
            if found is None:
                assert first
                assert not there.exists()
                assert not there.with_suffix(".json").exists()
            else:
                version = found.classes[0].name, np.unique(found.labels).tolist()
                assert version in (("healthy", [1]), ("tumour", [2]))
            remove_leftovers(folder)
        assert not list(folder.glob(".wildseg-*"))
        seen.add(found and found.classes[0].name)
        write_labels(there, one_class(3, "again"), overwrite=found is not None)
        assert read_labels(there).classes[0].name == "again"
    assert "tumour" in seen


def test_a_plan_of_renames_yields_to_a_newer_file_and_stays_in_its_folder(tmp_path):
    path = tmp_path / "a" / "x.png"
    write_labels(path, one_class(1, "old"))
    (tmp_path / "a" / ".wildseg-0123456789ab.png").write_bytes(b"left over")
    plan = plan_path(path)

    def leave(target, before):
        moves = [[".wildseg-0123456789ab.png", target, before]]
        plan.write_text(json.dumps({"format": "napari-wildseg plan of renames", "moves": moves}))

    leave("x.png", "0" * 64)  # what is there now is not what was to be replaced
    assert read_labels(path).classes[0].name == "old"
    leave("../victim.png", None)
    (tmp_path / "victim.png").write_bytes(b"mine")
    remove_leftovers(tmp_path / "a")
    assert (tmp_path / "victim.png").read_bytes() == b"mine"
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.json", "x.png"]


def test_a_folder_that_version_01_moved_away_is_kept(tmp_path):
    for ending in ("old", "zarr"):
        (tmp_path / f".wildseg-0123456789ab.{ending}").mkdir()
    (tmp_path / ".wildseg-ba9876543210.old").mkdir()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_two_files_are_read_as_one_version_while_they_are_replaced(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_labels(path, one_class(1, "old"))
    real, turns = png._decode, iter([True])

    def between(where):
        found = real(where)
        if next(turns, False):
            write_labels(path, one_class(2, "new"), overwrite=True)
        return found

    monkeypatch.setattr(png, "_decode", between)
    found = read_labels(path)
    assert (found.labels == 2).all()
    assert found.classes[0].name == "new"


WRITER = """
import itertools, sys
import numpy as np
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.io import FORMATS, LabelImage, Project, save_project, write_labels

folder = sys.argv[1]
print("ready", flush=True)
sys.stdin.readline()
for turn in itertools.count():
    value = turn % 200 + 1
    labels = LabelImage(
        np.full((64, 64), value, np.uint8),
        (ClassInfo(value, f"class {value}", ("x",), (value, 0, 0)),),
    )
    for format in FORMATS:
        # A folder for each, since some have sidecars of the same name.
        write_labels(f"{folder}/{format.name}/x{format.suffixes[0]}", labels, overwrite=True)
    save_project(f"{folder}/project/x.wildseg", Project(labels), overwrite=True)
    print(turn, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.nightly)])
def test_processes_killed_amid_exports_leave_whole_files(tmp_path, kills):
    """At least 25 exports before each kill: every file is whole, old or new."""
    exports = 0
    for n in range(kills):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            writer.stdout.readline()
            writer.stdin.write("go\n")
            writer.stdin.flush()
            for _ in range(4):
                writer.stdout.readline()
            time.sleep(0.004 * n)
            writer.kill()
            turns = 4 + len(writer.stdout.readlines())
        exports += turns * (len(FORMATS) + 1)
        for format in FORMATS:
            folder = tmp_path / format.name
            path = folder / f"x{format.suffixes[0]}"
            for _ in range(2):
                found = read_labels(path, format=format.name)
                (value,) = np.unique(found.labels)
                assert [info.name for info in found.classes] == [f"class {value}"]
                remove_leftovers(folder)
            assert not list(folder.glob(".wildseg-*"))
        assert (load_project(tmp_path / "project/x.wildseg").labels.labels > 0).all()
    assert exports >= 25 * kills


def test_writing_refuses_before_anything_is_touched(tmp_path):
    labels = LabelImage(np.ones((2, 2), np.uint8), (ClassInfo(1, "a", ("a",), (1, 1, 1)),))
    (tmp_path / "x.json").write_text("mine")
    with pytest.raises(InputError, match=r"x\.json is already there"):
        write_labels(tmp_path / "x.png", labels)
    assert os.listdir(tmp_path) == ["x.json"]


def test_what_killed_processes_left_is_removed(tmp_path):
    for name in (".wildseg-0123456789ab.png", ".wildseg-0123456789ab.zarr/c/0", ".wildseg-batch/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "mine.png").write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".wildseg-batch", "mine.png"]
    remove_leftovers(tmp_path / "nowhere")
