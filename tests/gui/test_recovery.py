"""Corrections survive a crash."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.gui.annotation.image_identity import old_key
from napari_wildseg.gui.layers import class_list as class_list
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.recovery import Claim, RecoveryStore, default_folder, image_key
from napari_wildseg.io import atomic

FLAT = Plane((None, None))
CLASSES = parse_classes("cat, dog")


def some(shape=(6, 8)):
    corrections = np.full(shape, -1, np.int16)
    corrections[1, 2:5] = 2
    corrections[3, 3] = 0
    return corrections


def stored(store, key="key", plane=FLAT, find=some, **more):
    """A claim with one record, written."""
    claim = Claim(store, key, more.pop("source", ""))
    claim.save(plane, find, CLASSES, **more)
    store.flush()
    return claim


def records(folder):
    return sorted(path.name for path in folder.glob("*.npz"))


def test_what_was_saved_is_found_by_the_next_session(tmp_path):
    stored(RecoveryStore(tmp_path)).release()
    [saved] = RecoveryStore(tmp_path).find("key", (6, 8))
    assert (saved.corrections == some()).all()
    assert saved.classes == CLASSES
    assert saved.plane == FLAT
    assert RecoveryStore(tmp_path).find("other", (6, 8)) == []


def test_planes_are_kept_apart(tmp_path):
    store = RecoveryStore(tmp_path)
    claim = Claim(store, "key")
    for index in (0, 3):
        claim.save(Plane((index, None, None)), some, CLASSES)
    store.flush()
    found = RecoveryStore(tmp_path).find("key", (5, 6, 8))
    assert {saved.plane.index[0] for saved in found} == {0, 3}
    assert RecoveryStore(tmp_path).find("key", (2, 6, 8))[0].plane.index[0] == 0, "no plane 3 there"


def test_nothing_left_means_no_record(tmp_path):
    store = RecoveryStore(tmp_path)
    claim = stored(store)
    claim.save(FLAT, lambda: None, CLASSES)
    claim.release()
    store.flush()
    assert list(tmp_path.iterdir()) == []


def test_a_record_goes_when_its_corrections_are_in_a_file_and_not_before(tmp_path):
    store = RecoveryStore(tmp_path)
    claim = stored(store)

    def painted_since():
        more = some()
        more[5, 5] = 1
        return more

    claim.exported(FLAT, some)
    claim.save(FLAT, painted_since, CLASSES)
    store.flush()
    [saved] = store.find("key", (6, 8))
    assert (saved.corrections == painted_since()).all()
    claim.exported(FLAT, lambda: None)  # not all of them show in the labels of that file
    claim.save(FLAT, some, CLASSES)
    store.flush()
    assert len(records(tmp_path)) == 1
    claim.exported(FLAT, some)
    claim.save(FLAT, some, CLASSES)
    store.flush()
    assert records(tmp_path) == []
    claim.save(FLAT, painted_since, CLASSES)
    store.flush()
    assert len(records(tmp_path)) == 1


def test_a_record_that_another_window_holds_is_neither_offered_nor_removed(tmp_path):
    claim = stored(RecoveryStore(tmp_path))
    other = RecoveryStore(tmp_path)
    [saved] = other.find("key", (6, 8))
    assert saved.in_use
    other.discard([saved])
    other.tidy()
    other.flush()
    assert len(records(tmp_path)) == 1
    claim.release()
    claim.store.flush()
    [saved] = other.find("key", (6, 8))
    assert not saved.in_use
    other.discard([saved])
    other.flush()
    assert list(tmp_path.iterdir()) == []


def test_records_of_before_are_left_alone(tmp_path):
    store = RecoveryStore(tmp_path)
    claim = stored(store)
    claim.renew()
    small = np.full((6, 8), -1, np.int16)
    small[0, 0] = 1
    claim.save(FLAT, lambda: small, CLASSES)
    store.flush()
    found = store.find("key", (6, 8))
    assert [int((saved.corrections >= 0).sum()) for saved in found] == [4, 1]
    assert [saved.in_use for saved in found] == [False, True]
    before, after = (saved.path for saved in found)
    claim.save(FLAT, some, CLASSES, instead_of=[before])
    store.flush()
    assert records(tmp_path) == [after.name]


class Full:
    """A disk that is full until it is not."""

    def __init__(self, monkeypatch):
        self.full, self.write = True, atomic.atomic_write
        monkeypatch.setattr(atomic, "atomic_write", self)

    def __call__(self, path, data, *, overwrite=False):
        if self.full:
            raise WildsegError(f"{path} cannot be written: no space left on device.")
        self.write(path, data, overwrite=overwrite)


def test_what_is_restored_goes_once_it_is_written_again(tmp_path, monkeypatch):
    stored(RecoveryStore(tmp_path)).release()
    store = RecoveryStore(tmp_path)
    [left] = store.find("key", (6, 8))
    disk = Full(monkeypatch)
    claim = Claim(store, "key")
    claim.save(FLAT, some, CLASSES, instead_of=[left.path])
    store.flush()
    assert records(tmp_path) == [left.path.name]
    assert "no space left" in store.trouble
    store.retry()
    store.flush()
    assert records(tmp_path) == [left.path.name]
    claim.save(FLAT, some, CLASSES)  # another stroke: what waits for the first still waits
    store.flush()
    assert store.trouble
    disk.full = False
    store.retry()
    store.flush()
    assert not store.trouble
    assert records(tmp_path) == [claim.path(FLAT).name]


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    store = RecoveryStore(blocked)
    stored(store)
    assert store.trouble
    blocked.unlink()
    store.retry()
    store.flush()
    assert not store.trouble
    assert len(records(blocked)) == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_records_are_passed_over(tmp_path, damage):
    stored(RecoveryStore(tmp_path))
    [path] = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert RecoveryStore(tmp_path).find("key", (6, 8)) == []


def test_no_damage_of_a_record_raises(tmp_path):
    """Single bytes changed, and the file cut short, at many places."""
    stored(RecoveryStore(tmp_path))
    [path] = tmp_path.glob("*.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            spoiled[place] = int(rng.integers(0, 256))
        path.write_bytes(spoiled[: int(rng.integers(1, len(whole) + 1))])
        for saved in RecoveryStore(tmp_path).find("key", (6, 8)):
            assert saved.corrections.shape == (6, 8)


def test_corrections_of_another_size_are_not_offered(tmp_path):
    stored(RecoveryStore(tmp_path))
    assert RecoveryStore(tmp_path).find("key", (8, 6)) == []


def test_an_image_is_known_by_its_pixels():
    data = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    key = image_key(Image(data.copy(), name="a"))
    assert image_key(Image(data.copy(), name="b")) == key, "napari gives a second one another name"
    assert image_key(Image(data[:, :-1], name="a")) != key
    assert image_key(Image(255 - data, name="a")) != key
    other = data.copy()
    other[17, 31, 1] ^= 1
    assert image_key(Image(other, name="a")) != key, "one bit of one pixel"
    assert image_key(Image(data.copy(), name="a", rgb=False)) != key


@pytest.mark.parametrize("shape", [(4, 30, 40), (5000, 5000), (2, 3, 20, 20)])
def test_a_lazy_image_is_known_by_samples(shape):
    one = Image(da.zeros(shape, dtype=np.uint8), name="scan", contrast_limits=(0, 255))
    other = Image(da.ones(shape, dtype=np.uint8), name="scan", contrast_limits=(0, 255))
    assert image_key(one) != image_key(other)
    again = Image(da.zeros(shape, dtype=np.uint8), name="again", contrast_limits=(0, 255))
    assert image_key(again) == image_key(one)


def test_the_same_pixels_in_another_file_are_another_image(tmp_path):
    first, copy = tmp_path / "first.png", tmp_path / "copy.png"
    first.touch()
    copy.touch()
    store = RecoveryStore(tmp_path / "records")
    stored(store, source=str(first))
    assert store.find("key", (6, 8), source=str(copy)) == []
    assert len(store.find("key", (6, 8), source=str(first))) == 1
    assert len(store.find("key", (6, 8))) == 1, "an array of a script has no file"
    first.unlink()  # the file was moved or renamed
    assert len(store.find("key", (6, 8), source=str(copy))) == 1


def ramp(*shape):
    return (np.indices(shape).sum(0) % 251).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "plane"),
    [
        (Image(ramp(24, 32), name="work"), FLAT),
        (Image(ramp(3, 24, 32), name="stack"), Plane((2, None, None))),
        (Image(da.from_array(ramp(24, 32)), name="scan"), FLAT),
    ],
    ids=["array", "stack", "lazy"],
)
def test_records_of_0_1_are_found(image, plane, tmp_path):
    """Written by the code of 0.1.0."""
    shutil.copytree(
        Path(__file__).parent.parent / "data" / "0.1" / "recovery", tmp_path / "records"
    )
    [saved] = RecoveryStore(tmp_path / "records").find(old_key(image), image.data.shape)
    expected = np.full((24, 32), -1, np.int16)
    expected[2, 3:9], expected[5:7, 5], expected[20, 30] = 2, 0, 1
    assert saved.plane == plane
    assert (saved.corrections == expected).all()
    assert saved.classes == parse_classes("cat, cup of coffee=cup|mug")


def test_classes_are_matched_by_name():
    here = parse_classes("dog, cow")
    classes, table = class_list.matched(here, CLASSES, used={1, 2})
    assert [(c.id, c.name) for c in classes] == [(1, "dog"), (2, "cow"), (3, "cat")]
    assert table[[0, 1, 2, 3]].tolist() == [-1, 0, 3, 1]


def test_left_over_corrections_are_offered_and_restored(desk, photo):
    first = desk(photo, "cup, spoon", name="coffee")
    controller = first.controller
    labels = controller.layers.tracked(controller.session, controller.image, "labels").layer
    controller.layers.tracked(controller.session, controller.image, "labels").tracker(FLAT)
    labels.paint((20, 30), 2)
    painted = labels.data.copy()
    controller.shut_down()
    controller.autosave.store.flush()

    second = desk(photo, name="coffee")
    assert second.control("left_over").isVisibleTo(second.widget)
    second.click("restore")
    assert (second.layer().data == painted).all()
    assert second.control("classes").model().rowCount() == 3
    assert not second.control("left_over").isVisibleTo(second.widget)
    assert "restored" in second.status
    second.wait()
    second.controller.autosave.store.flush()
    assert len(list(default_folder().glob("*.npz"))) == 1

    third = desk(photo, name="coffee")
    assert not third.control("left_over").isVisibleTo(third.widget), "the second is at work on it"
    second.controller.shut_down()
    second.controller.autosave.store.flush()
    third = desk(photo, name="coffee")
    third.click("discard")
    third.controller.autosave.store.flush()
    assert not third.control("left_over").isVisibleTo(third.widget)
    assert list(default_folder().glob("*.npz")) == []


CRASH = """
import sys, time
import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication
from napari_wildseg.gui.widget import WildsegWidget

application, viewer = QApplication([]), ViewerModel()
image = (np.indices((240, 320)).sum(0) % 251).astype(np.uint8)
viewer.add_image(image, name="work")
widget = WildsegWidget(viewer)
controller = widget.controller
controller.add_classes("cat, dog, cow")
labels = controller.layers.tracked(controller.session, controller.image, "labels")
labels.tracker(controller.plane)
layer = labels.layer
rng = np.random.default_rng(3)
layer.brush_size = 7
for stroke in range(int(sys.argv[2])):
    layer.paint(tuple(rng.integers(0, (240, 320))), 1 + stroke % 3)
    QApplication.processEvents()
np.save(sys.argv[1], layer.data)
# What is on disk now was written by the window itself, while its events were processed.
loop, poll = QEventLoop(), QTimer()
poll.timeout.connect(lambda: widget._count.isActive() or loop.quit())
poll.start(20)
loop.exec()
controller.autosave.store.flush()
print("painted", flush=True)
loop.exec()
time.sleep(600)
"""


@pytest.mark.parametrize("strokes", [20, pytest.param(200, marks=pytest.mark.nightly)])
def test_strokes_survive_a_kill(desk, tmp_path, strokes):
    kept = tmp_path / "painted.npy"
    command = [sys.executable, "-c", CRASH, str(kept), str(strokes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "painted\n"
        run.send_signal(signal.SIGKILL)
    d = desk((np.indices((240, 320)).sum(0) % 251).astype(np.uint8), name="work")
    d.controller.left_over.restore()
    painted = np.load(kept)
    assert np.unique(painted).tolist() == [0, 1, 2, 3]
    assert (d.layer().data == painted).all()
