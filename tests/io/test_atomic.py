"""Files are whole or not there."""

from __future__ import annotations

import json
import os
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
    refuse_existing,
    remove_left_over,
)


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


@pytest.mark.slow
def test_processes_killed_amid_exports_leave_whole_files(tmp_path):
    """At least 200 exports under way, killed at 8 moments: every file is whole, old or new."""
    exports = 0
    for n in range(8):
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
            if format.name == "ome-zarr" and not path.exists():
                # A folder cannot be replaced in one step; the old one is whole beside it.
                (old,) = folder.glob(".wildseg-*.old")
                old.replace(path)
            if format.name in ("png", "yolo"):
                # Two files, each whole, maybe of two turns.
                assert json.loads((folder / "x.json").read_text("utf-8"))["classes"]
                (folder / "x.json").unlink()
            options = {"size": (64, 64)} if format.name == "yolo" else {}
            found = read_labels(path, format=format.name, **options)
            assert len(np.unique(found.labels)) == 1
            remove_left_over(folder)  # of this turn; the next is to find its own alone
        assert (load_project(tmp_path / "project/x.wildseg").labels.labels > 0).all()
    assert exports >= 200


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
    remove_left_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".wildseg-batch", "mine.png"]
    remove_left_over(tmp_path / "nowhere")
