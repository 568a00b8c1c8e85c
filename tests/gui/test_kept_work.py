"""Nothing painted is lost: in a window whose images, layers, docks and files come and go."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial

import dask.array as da
import numpy as np
import psutil
import pytest
from napari.layers import Image

from napari_wildseg.engine.progress import drain
from napari_wildseg.gui import export, state
from napari_wildseg.gui.annotation.session import LABELS, PSEUDO
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.layers.label_pair import why_no_labels
from napari_wildseg.gui.recovery import RecoveryStore

PHOTO = (np.indices((60, 80)).sum(0) % 251).astype(np.uint8)


def painter(d, kind=LABELS):
    """A label layer to paint in, without a run before."""
    controller = d.controller
    return controller.layers.tracked(controller.session, controller.image, kind).layer


def paint(layer, place, label=1, size=5):
    """Paint a dab; as of the brush, napari tells of it when the pixels have changed."""
    layer.brush_size, layer.selected_label = size, label
    with layer.block_history():
        layer.paint(place, label)


def settled(d):
    """Wait until all that is to be kept was written, or could not be."""
    autosave = d.controller.autosave
    d.qtbot.waitUntil(lambda: not d.widget._count.isActive())
    autosave.write()
    d.qtbot.waitUntil(lambda: bool(autosave.trouble) or not autosave.step())


def on_disk(d, shape=PHOTO.shape, key=""):
    """How many pixels each record of the chosen image holds."""
    settled(d)
    key = key or d.controller.session.claim.key
    found = RecoveryStore(d.controller.autosave.store.folder).find(key, shape)
    return [int((saved.corrections >= 0).sum()) for saved in found]


def offered(d):
    return [int((saved.corrections >= 0).sum()) for saved in d.controller.session.left_over]


def test_an_image_and_its_layers_come_and_go(desk):
    d = desk(PHOTO, "cat, dog", name="photo")
    paint(painter(d), (20, 20))
    first = int((painter(d).data == 1).sum())
    assert on_disk(d) == [first]
    key = d.controller.session.claim.key

    # The labels are deleted within the same turn as a stroke.
    paint(painter(d), (40, 40))
    both = int((painter(d).data == 1).sum())
    d.viewer.layers.remove(painter(d))
    assert offered(d) == [both]
    assert on_disk(d) == [both]
    paint(painter(d), (10, 60), 2, 3)
    few = int((painter(d).data == 2).sum())
    assert on_disk(d) == [both, few], "a stroke in a new layer replaces no record"

    # The image is removed and opened again, under another name.
    d.viewer.layers.clear()
    d.viewer.add_image(PHOTO.copy(), name="again")
    assert sorted(offered(d)) == sorted([both, few])
    paint(painter(d), (50, 10), 1, 1)
    assert sorted(on_disk(d)) == sorted([both, few, 1])
    d.click("restore")
    assert int((painter(d).data > 0).sum()) == both + few + 1
    assert on_disk(d, key=key) == [both + few + 1]

    # A second window neither gets nor removes what this one works on.
    other = desk(PHOTO.copy(), "cat", name="photo")
    assert offered(other) == []
    other.controller.left_over.discard()
    assert on_disk(other, key=key) == [both + few + 1]


def test_corrections_of_the_labels_win_in_whatever_order_layers_are_deleted(desk):
    d = desk(PHOTO, "cat, dog")
    paint(painter(d), (20, 20), 1, 9)
    paint(painter(d, PSEUDO), (20, 20), 2, 3)
    paint(painter(d, PSEUDO), (40, 40), 2, 3)
    labels, pseudo = (d.controller.session.layer(kind) for kind in (LABELS, PSEUDO))
    painted = labels.data.copy()
    d.viewer.layers.remove(labels)
    d.viewer.layers.remove(pseudo)
    newer = painter(d)
    paint(newer, (20, 24), 2, 1)
    painted[20, 24] = 2
    d.click("restore")
    assert (newer.data[:30] == painted[:30]).all()
    assert newer.data[40, 40] == 2


def test_a_label_of_no_class_is_restored_as_one(desk):
    d = desk(PHOTO, "cat")
    paint(painter(d), (20, 20), 7)
    d.viewer.layers.remove(painter(d))
    d.click("restore")
    assert painter(d).data[20, 20] == 7
    assert [(info.id, info.name) for info in d.controller.classes] == [(1, "cat"), (7, "label 7")]


@pytest.mark.parametrize("what", ["export", "project"])
def test_what_is_painted_while_a_file_is_written_is_kept(desk, tmp_path, what):
    d = desk(PHOTO, "cat, dog")
    controller, section = d.controller, d.widget.export
    session, layer = controller.session, painter(d)
    paint(layer, (20, 20))

    def write(meanwhile):
        if what == "export":
            choice = export.Choice("png", tmp_path)
            items = export.plan(choice, [session], controller.plane, d.viewer.layers)
            meanwhile()
            done = partial(section._exported, items, choice, None)
            done(drain(export.write_steps(choice, items, overwrite=True)))
        else:
            edits, planes = session.edits(), session.touched()
            project = state.to_project(controller, session)
            meanwhile()
            section._note_in_file(session, planes, edits, project, tmp_path / "a.wildseg")

    write(lambda: paint(layer, (40, 40), 2))
    assert session.unsaved
    assert on_disk(d) == [int((layer.data > 0).sum())]
    write(lambda: None)
    assert not session.unsaved
    assert on_disk(d) == []
    d.viewer.layers.remove(layer)
    assert on_disk(d) == [], "what is in a file needs no record"


def test_corrections_that_do_not_show_in_the_labels_are_not_in_the_file(desk, tmp_path):
    d = desk(PHOTO, "cat, dog")
    session = d.controller.session
    paint(painter(d), (20, 20))
    paint(painter(d, PSEUDO), (40, 40), 2)
    choice = export.Choice("png", tmp_path)
    items = export.plan(choice, [session], d.controller.plane, d.viewer.layers)
    drain(export.write_steps(choice, items, overwrite=True))
    d.widget.export._exported(items, choice, None, [])
    assert len(on_disk(d)) == 1


STACK = np.stack([PHOTO] * 4)


@pytest.mark.parametrize("tool", ["polygon", "fill", "brush in 3-D", "script", "other data"])
def test_a_plane_is_followed_from_the_first_pixel(desk, tool):
    d = desk(STACK, "cat, dog")
    d.viewer.dims.set_current_step(0, 2)
    layer = painter(d)
    layer.selected_label = 2
    if tool == "polygon":
        layer.paint_polygon([[2, 10, 10], [2, 10, 60], [2, 40, 30]], 2)
    elif tool == "fill":
        layer.fill((2, 5, 5), 2)
    elif tool == "brush in 3-D":
        layer.n_edit_dimensions = 3
        paint(layer, (2, 30, 30), 2, 5)
    elif tool == "script":  # in planes that nobody sees
        layer.data_setitem((np.array([0, 3]), np.array([4, 5]), np.array([6, 7])), 2)
    else:
        data = layer.data.copy()
        data[1, 5:9, 5:9] = 2
        layer.data = data
    d.qtbot.waitUntil(lambda: bool(d.controller.session.tracked[LABELS].trackers))
    settled(d)
    painted = {i: n for i in range(4) if (n := int((layer.data[i] == 2).sum()))}
    key = d.controller.session.claim.key
    found = RecoveryStore(d.controller.autosave.store.folder).find(key, STACK.shape)
    kept = {saved.plane.index[0]: int((saved.corrections == 2).sum()) for saved in found}
    assert kept == painted
    corrections = state.to_project(d.controller, d.controller.session).labels.corrections
    assert ((corrections == 2) == (layer.data == 2)).all()
    d.viewer.layers.remove(layer)
    assert sorted(offered(d)) == sorted(painted.values())


def test_a_long_stack_takes_the_memory_of_what_was_labelled(desk):
    long = da.zeros((1500, 1024, 1024), chunks=(1, 1024, 1024), dtype=np.uint8)
    d = desk(long, "cat", contrast_limits=(0, 255))
    memory = psutil.Process().memory_info
    before = memory().rss
    controller = d.controller
    for kind in (PSEUDO, LABELS):
        tracked = controller.layers.tracked(controller.session, controller.image, kind)
        tracked.write(controller.plane, np.full((1024, 1024), 255, np.uint8))
    assert memory().rss - before < 2e8


def test_labels_that_find_no_memory_are_told_of():
    assert why_no_labels(Image(PHOTO)) == ""
    too_long = Image(np.broadcast_to(np.uint8(0), (10**9, 1024, 1024)), contrast_limits=(0, 255))
    assert "no memory for labels of 1000000000 x 1024 x 1024" in why_no_labels(too_long)


def test_a_dock_that_is_opened_again_goes_on(desk, new_viewer):
    viewer = new_viewer()
    d = desk(PHOTO, "cat, dog", viewer=viewer)
    layer = painter(d)
    paint(layer, (20, 20))
    viewer.window.remove_dock_widget(d.widget)
    paint(layer, (40, 40), 2)
    d = desk(viewer=viewer)
    assert [info.name for info in d.controller.classes] == ["cat", "dog"]
    assert painter(d) is layer
    assert offered(d) == []
    paint(layer, (40, 60), 2)
    assert on_disk(d) == [int((layer.data > 0).sum())]
    viewer.window.remove_dock_widget(d.widget)
    d.controller.shut_down()  # as when Qt deletes the widget
    d.controller.autosave.store.flush()  # its records are let go of in the background
    viewer.layers.remove(layer)
    d = desk(viewer=viewer)
    assert offered(d) == [int((layer.data > 0).sum())]


def test_the_window_says_that_corrections_cannot_be_kept(desk, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_wildseg.gui.annotation.autosave.RETRY_SECONDS", 0.0)
    (tmp_path / "file").write_text("in the way")
    d = desk()
    d.controller.autosave.store = RecoveryStore(tmp_path / "file" / "records")
    d.viewer.add_image(PHOTO, name="photo")
    d.type_names("cat")
    bar = d.control("not_kept")
    paint(painter(d), (20, 20))
    d.qtbot.waitUntil(lambda: not bar.isHidden())
    assert "cannot be kept safe" in bar.text()
    assert "cannot be kept safe" in d.status
    (tmp_path / "file").unlink()
    d.qtbot.waitUntil(bar.isHidden)
    assert d.status == "Your corrections are kept safe again."
    assert len(on_disk(d)) == 1


WRITER = """
import sys
import numpy as np
from pathlib import Path
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.gui.layers.display import Plane
from napari_wildseg.gui.recovery import Claim, RecoveryStore

store = RecoveryStore(Path(sys.argv[1]))
claim = Claim(store, "key")
corrections = np.full((300, 300), -1, np.int16)
for stroke in range(90_000):
    corrections.ravel()[stroke] = 1
    if stroke % 50 == 49:
        claim.renew()
    claim.save(Plane((None, None)), corrections.copy, parse_classes("cat"))
    store.flush()
    print(stroke + 1, flush=True)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.nightly)])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_process_killed_while_it_writes_leaves_every_finished_stroke(tmp_path, kills):
    rng = np.random.default_rng(4)
    for turn in range(kills):
        folder = tmp_path / str(turn)
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            strokes = int(rng.integers(1, 200))
            told = [int(run.stdout.readline()) for _ in range(strokes)]
            run.send_signal(signal.SIGKILL)
        found = RecoveryStore(folder).find("key", (300, 300))
        assert found, turn
        assert not any(saved.in_use for saved in found)
        kept = sum(saved.corrections >= 0 for saved in found) > 0
        assert kept.ravel()[: told[-1]].all()
        assert kept.sum() <= told[-1] + 50
        assert found[-1].plane == Plane((None, None))
