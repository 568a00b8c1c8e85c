"""Corrections survive a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui import classes as class_list
from napari_wildseg.gui.display import Plane
from napari_wildseg.gui.recovery import RecoveryStore, default_folder, image_key

FLAT = Plane((None, None))
CLASSES = parse_classes("cat, dog")


def some(shape=(6, 8)):
    corrections = np.full(shape, -1, np.int16)
    corrections[1, 2:5] = 2
    corrections[3, 3] = 0
    return corrections


def test_what_was_saved_is_found_by_the_next_session(tmp_path):
    store = RecoveryStore(tmp_path)
    store.save("key", FLAT, some, CLASSES)
    store.flush()
    assert store.find("key", (6, 8)) == [], "a session's own work is not offered to it"
    [saved] = RecoveryStore(tmp_path).find("key", (6, 8))
    assert (saved.corrections == some()).all()
    assert saved.classes == CLASSES
    assert saved.plane == FLAT
    assert RecoveryStore(tmp_path).find("other", (6, 8)) == []


def test_planes_are_kept_apart(tmp_path):
    store = RecoveryStore(tmp_path)
    for index in (0, 3):
        store.save("key", Plane((index, None, None)), some, CLASSES)
    store.flush()
    found = RecoveryStore(tmp_path).find("key", (5, 6, 8))
    assert {saved.plane.index[0] for saved in found} == {0, 3}


def test_nothing_left_means_no_file(tmp_path):
    store = RecoveryStore(tmp_path)
    store.save("key", FLAT, some, CLASSES)
    store.save("key", FLAT, lambda: None, CLASSES)
    store.flush()
    assert list(tmp_path.iterdir()) == []
    store.save("key", FLAT, some, CLASSES)
    store.forget("key", FLAT)
    store.flush()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_files_are_passed_over(tmp_path, damage):
    store = RecoveryStore(tmp_path)
    store.save("key", FLAT, some, CLASSES)
    store.flush()
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    assert RecoveryStore(tmp_path).find("key", (6, 8)) == []


def test_corrections_of_another_size_are_not_offered(tmp_path):
    store = RecoveryStore(tmp_path)
    store.save("key", FLAT, some, CLASSES)
    store.flush()
    assert RecoveryStore(tmp_path).find("key", (8, 6)) == []


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    store = RecoveryStore(blocked)
    store.save("key", FLAT, some, CLASSES)
    store.flush()


def test_old_files_are_removed(tmp_path):
    store = RecoveryStore(tmp_path)
    store.save("key", FLAT, some, CLASSES)
    store.flush()
    [path] = tmp_path.iterdir()
    os.utime(path, (0, 0))
    store.prune()
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_known_again_and_not_mistaken():
    data = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    key = image_key(Image(data.copy(), name="a"))
    assert image_key(Image(data.copy(), name="a")) == key
    assert image_key(Image(data.copy(), name="b")) != key
    assert image_key(Image(data[:, :-1], name="a")) != key
    assert image_key(Image(255 - data, name="a")) != key


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
    controller.safekeeping.store.flush()

    second = desk(photo, name="coffee")
    assert second.control("left_over").isVisibleTo(second.widget)
    second.click("restore")
    assert (second.layer().data == painted).all()
    assert second.control("classes").model().rowCount() == 2
    assert not second.control("left_over").isVisibleTo(second.widget)
    assert "restored" in second.status
    second.wait()
    second.controller.safekeeping.store.flush()
    assert len(list(default_folder().iterdir())) == 1

    third = desk(photo, name="coffee")
    third.click("discard")
    third.controller.safekeeping.store.flush()
    assert not third.control("left_over").isVisibleTo(third.widget)
    assert list(default_folder().iterdir()) == []


CRASH = """
import json, sys, time
import numpy as np
import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show=False)
image = (np.indices((240, 320)).sum(0) % 251).astype(np.uint8)
viewer.add_image(image, name="work")
_, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
controller = widget.controller
if sys.argv[1] == "paint":
    controller.add_classes("cat, dog, cow")
    labels = controller.layers.tracked(controller.session, controller.image, "labels")
    labels.tracker(controller.plane)
    layer = labels.layer
    rng = np.random.default_rng(3)
    layer.brush_size = 7
    for stroke in range(200):
        layer.paint(tuple(rng.integers(0, (240, 320))), 1 + stroke % 3)
        QApplication.processEvents()
    np.save(sys.argv[2], layer.data)
    # What is on disk now was written by the window itself, while its events were processed.
    loop, poll = QEventLoop(), QTimer()
    poll.timeout.connect(lambda: widget._count.isActive() or loop.quit())
    poll.start(20)
    loop.exec()
    controller.safekeeping.store.flush()
    print("painted", flush=True)
    loop.exec()
    time.sleep(600)
else:
    controller.restore_left_over()
    layer = viewer.layers["work labels"]
    there = np.load(sys.argv[2])
    print(json.dumps([bool((layer.data == there).all()), len(np.unique(there))]))
    viewer.close()
"""


def test_two_hundred_strokes_survive_a_kill(tmp_path):
    kept = str(tmp_path / "painted.npy")
    command = [sys.executable, "-c", CRASH]
    with subprocess.Popen([*command, "paint", kept], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "painted\n"
        run.send_signal(signal.SIGKILL)
    again = subprocess.run([*command, "restore", kept], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1]) == [True, 4]
