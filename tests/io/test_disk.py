"""Disks that are full, folders that cannot be written or are gone, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.io import FORMATS, LabelImage, read_labels, write_labels

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and users of Unix")

WRITER = """
import os, resource, signal, sys
import numpy as np
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.io import FORMATS, LabelImage, Project, save_project, write_labels

folder, mode = sys.argv[1:]
os.umask(0o022)
noise = np.random.default_rng(0).integers(0, 3, (128, 128), np.uint8)
labels = LabelImage.from_array(noise)
for format in FORMATS:  # whatever is imported on the way is imported before the limits
    write_labels(f"{folder}/warm-{format.name}/x{format.suffixes[0]}", labels)
if mode == "full":
    # No file may grow beyond 2 kB, as on a disk that has no room for more.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
else:
    os.makedirs(f"{folder}/shut")
    os.chmod(f"{folder}/shut", 0o555)
    os.makedirs(f"{folder}/locked")
    os.chmod(f"{folder}/locked", 0)  # nor may it be looked into
    if os.getuid() == 0:
        os.setuid(65534)  # root may write anywhere
    folder = f"{folder}/shut"
for format in FORMATS:
    locked = [] if mode == "full" else [f"{sys.argv[1]}/locked"]
    for place in (folder, f"{sys.argv[1]}/warm-{format.name}", *locked):
        path = f"{place}/x{format.suffixes[0]}"
        try:
            write_labels(path, labels.with_labels(2 - noise), overwrite=True)
        except WildsegError as error:
            assert not isinstance(error, InputError)
            print(format.name, str(error).rsplit(": ", 1)[1], flush=True)
        else:
            print(format.name, "was written", flush=True)
"""


def run_writer(folder, mode):
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), mode],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_no_room_is_a_sentence_and_leaves_the_old_file(tmp_path):
    lines = run_writer(tmp_path, "full")
    assert len(lines) == 2 * len(FORMATS)
    assert {line.split(" ", 1)[1] for line in lines} == {"file too large."}
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == sorted(f"warm-{format.name}" for format in FORMATS)
    noise = np.random.default_rng(0).integers(0, 3, (128, 128), np.uint8)
    for format in FORMATS:
        folder = tmp_path / f"warm-{format.name}"
        assert (read_labels(folder / f"x{format.suffixes[0]}").labels == noise).all()
        assert not [p for p in folder.rglob("*") if p.name.startswith(".wildseg")]


def test_a_folder_that_may_not_be_written_is_a_sentence(tmp_path):
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    lines = run_writer(tmp_path, "shut")
    (tmp_path / "locked").chmod(0o755)
    assert len(lines) == 3 * len(FORMATS)
    assert {line.split(" ", 1)[1] for line in lines} == {"permission denied."}
    (tmp_path / "shut").chmod(0o755)
    for name in ("shut", "locked"):
        assert list((tmp_path / name).iterdir()) == []


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_a_folder_that_vanishes_meanwhile_is_a_sentence(tmp_path, format, monkeypatch):
    import shutil

    from napari_wildseg.io import atomic

    folder = tmp_path / "stick"
    folder.mkdir()
    real = atomic.sync

    def pulled_out(path):
        shutil.rmtree(folder, ignore_errors=True)
        real(path)

    monkeypatch.setattr(atomic, "sync", pulled_out)
    labels = LabelImage.from_array(np.ones((4, 5), np.uint8))
    with pytest.raises(WildsegError, match="cannot be written: no such file"):
        write_labels(folder / f"x{format.suffixes[0]}", labels)


@pytest.mark.parametrize("name", ["größe 漢字 🙂", "a'b\"c;$(x) %s", " spaces ", "-n", "x" * 200])
@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_odd_names(tmp_path, format, name):
    path = tmp_path / f"{name}{format.suffixes[0]}"
    labels = LabelImage.from_array(np.ones((4, 5), np.uint8), image=name)
    write_labels(path, labels)
    assert read_labels(path).image == name
