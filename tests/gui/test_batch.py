"""The Batch and Review sections: a batch beside the window, and its worst images first."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_wildseg.batch import Batch, BatchSettings, ReviewQueue, batch_steps
from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.progress import drain
from napari_wildseg.gui.jobs import batch_process
from napari_wildseg.gui.jobs.batch_process import KILLED, BatchProcess, as_labels

from ..batch.conftest import write_pictures


def unfold(desk, name):
    desk.control("fold_tools").setChecked(True)
    heading = desk.control(f"fold_{name}")
    heading.setChecked(True)


def fill_in(desk, source, folder, model):
    desk.controller.model = model
    unfold(desk, "batch")
    desk.control("batch_source").setText(str(source))
    desk.control("batch_folder").setText(str(folder))


@pytest.fixture
def done(tmp_path, light_model):
    """A finished batch of three pictures."""
    write_pictures(tmp_path / "pictures", 3)
    settings = BatchSettings(model=light_model, views="single")
    drain(
        batch_steps(
            Batch(str(tmp_path / "pictures"), "cat, dog", tmp_path / "out", settings=settings)
        )
    )
    return tmp_path / "out"


def wait_for_item(desk, place):
    reviewer = desk.section("Review").reviewer
    desk.qtbot.waitUntil(lambda: reviewer.item is not None and reviewer.place == place)
    desk.wait()
    return reviewer


def test_advanced_fields_reach_the_command(desk, tmp_path, monkeypatch):
    """Folded away, empty and without effect until they are filled in."""
    at = desk(names="cat, dog")
    asked = []
    monkeypatch.setattr(at.section("Batch").process, "start", asked.append)
    fill_in(at, tmp_path / "pictures", tmp_path / "out", "starter")
    assert at.section("Batch").advanced.isHidden()
    at.click("batch_start")
    arguments = build_arguments(asked[0])
    assert (arguments.corrected, arguments.scheduler) == (None, None)
    unfold(at, "advanced")
    assert not at.section("Batch").advanced.isHidden()
    at.control("batch_corrected").setText(str(tmp_path / "by hand"))
    at.control("batch_scheduler").setText("local:2")
    at.section("Batch").run()
    arguments = build_arguments(asked[1])
    assert arguments.corrected == tmp_path / "by hand"
    assert arguments.scheduler == "local:2"


def build_arguments(request):
    """What the command makes of a request."""
    import argparse

    from napari_wildseg.cli.commands.batch_command import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(request.arguments()[1:])


def test_a_stopped_batch_stays_resumable(desk, tmp_path, light_model):
    write_pictures(tmp_path / "pictures", 4)
    at = desk(names="cat, dog")
    fill_in(at, tmp_path / "pictures", tmp_path / "out", light_model)
    at.click("batch_start")
    at.click("batch_stop")
    at.qtbot.waitUntil(lambda: not at.section("Batch").process.running)
    assert "stopped" in at.status
    assert at.control("batch_start").isEnabled()


def test_a_batch_runs_beside_the_window_goes_on_when_killed_and_is_reviewed(
    desk, tmp_path, light_model
):
    write_pictures(tmp_path / "pictures", 13, broken=1)  # far from done when the first one is
    at = desk(names="cat, dog")
    fill_in(at, tmp_path / "pictures", tmp_path / "out", light_model)
    at.click("batch_start")
    assert not at.control("batch_start").isEnabled()
    assert not at.controller.runner.running
    process, bar = at.section("Batch").process, at.control("batch_progress")
    at.qtbot.waitUntil(lambda: bar.value() >= 1)
    process._process.kill()
    at.qtbot.waitUntil(lambda: not process.running)
    assert at.status == f"The batch ended: {KILLED}"
    at.click("batch_start")
    reviewer = wait_for_item(at, 0)
    assert at.control("batch_start").isEnabled()
    assert len(reviewer.queue.records) == 12
    assert len(reviewer.queue.report.failed) == 1
    assert at.control("review_where").text().startswith("1 of 12, 0 reviewed\nuncertainty 0.")
    assert not at.section("Review").isHidden()  # where "Next" is
    assert at.status.startswith("1 image failed: see report.csv. Paint what is wrong")


LEFT_OUT = "cat.png left out: it is empty."


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (f"echo 'wildseg: {LEFT_OUT}' >&2; kill -9 $$", KILLED),
        ("echo 'wildseg: no more room.' >&2; exit 1", "no more room."),
        ("exit 3", "it ended without a word"),
    ],
    ids=["killed", "failed", "silent"],
)
def test_why_a_batch_ended_is_said(qtbot, monkeypatch, tmp_path, lines, reason):
    """What it said of a picture before it was killed is not why."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setattr(batch_process, "sys", SimpleNamespace(executable=str(program)))
    process = BatchProcess()
    with qtbot.waitSignal(process.finished) as ended:
        process.start(SimpleNamespace(arguments=list))
    assert ended.args == [False, reason]


def test_a_tilde_is_the_home_folder(desk, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    at = desk(names="cat, dog")
    asked = []
    monkeypatch.setattr(at.section("Batch").process, "start", asked.append)
    fill_in(at, "~/pictures/*.jpg", "~/out", "starter")
    at.click("batch_start")
    assert asked[0].source == os.path.join(tmp_path, "pictures/*.jpg")  # noqa: PTH118
    assert asked[0].folder == tmp_path / "out"


def test_what_is_unfolded_comes_into_view(desk, new_viewer, qtbot):
    """In a low window, where it unfolds below what is in view; a batch's bar as well."""
    viewer = new_viewer(show=True)
    at = desk(viewer=viewer, names="cat, dog")
    viewer.window._qt_window.resize(900, 560)
    QApplication.processEvents()
    button = at.control("batch_start")
    assert button.visibleRegion().isEmpty()
    unfold(at, "batch")
    qtbot.waitUntil(lambda: button.visibleRegion().boundingRect() == button.rect())
    at.section("Batch").process.start = lambda request: None
    at.control("batch_source").setText("pictures")
    at.control("batch_folder").setText("out")
    button.click()
    bar = at.control("batch_progress")
    qtbot.waitUntil(lambda: bar.visibleRegion().boundingRect() == bar.rect())


def test_what_is_missing_is_said(desk, tmp_path, light_model):
    at = desk()
    unfold(at, "batch")
    at.click("batch_start")
    assert "folder of images" in at.status
    fill_in(at, tmp_path / "nowhere", tmp_path / "out", light_model)
    at.click("batch_start")
    assert "Type the classes" in at.status
    at.type_names("cat")
    at.click("batch_start")
    process = at.section("Batch").process
    at.qtbot.waitUntil(lambda: not process.running)
    assert "There is no" in at.status
    assert "nowhere" in at.status


def test_a_class_of_the_set_may_be_painted_by_number(desk, tmp_path, light_model):
    """Where an image has some of the set's classes only, the others keep their numbers."""
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "known.json").write_text('{"000": ["dog"], "001": ["cat"]}')
    settings = BatchSettings(model=light_model, views="single")
    source, known, out = tmp_path / "pictures", tmp_path / "known.json", tmp_path / "out"
    drain(batch_steps(Batch(str(source), str(known), out, settings=settings)))
    at = desk()
    at.section("Review").reviewer.open(str(out))
    reviewer = wait_for_item(at, 0)
    (own,) = reviewer.item.record.classes
    other = 3 - own
    at.controller.settings = replace(at.controller.settings, views="single")
    at.layer().data_setitem((np.array([1, 1]), np.array([2, 3])), np.array([other, other]))
    at.run("refine")
    assert [info.id for info in at.controller.classes] == [own, other]
    at.layer().data_setitem((np.array([2]), np.array([2])), np.array([other]))
    at.click("review_next")
    wait_for_item(at, 1)
    queue = ReviewQueue(out)
    assert [info.name for info in queue.classes] == ["dog", "cat"]
    kept = queue.open(0).labels
    assert (kept.labels[[1, 1, 2], [2, 3, 2]] == other).all()


def test_a_picture_that_is_gone_is_left_out(desk, done, tmp_path):
    at = desk()
    reviewer = at.section("Review").reviewer
    queue = ReviewQueue(done)
    Path(queue.records[1].image).unlink()
    reviewer.open(str(done))
    wait_for_item(at, 0)
    at.click("review_next")
    wait_for_item(at, 2)
    assert f"{queue.records[1].name} left out: There is no file" in at.status
    at.click("review_previous")
    wait_for_item(at, 0)
    Path(queue.records[2].image).unlink()
    at.click("review_next")
    at.wait()
    assert "There is no file" in at.status
    assert reviewer.place == 0


def test_next_writes_what_was_painted_and_previous_brings_it_back(desk, done, light_model):
    at = desk()
    before = at.viewer.add_image(np.zeros((8, 8)), name="mine")
    at.section("Review").reviewer.open(str(done))
    reviewer = wait_for_item(at, 0)
    first = reviewer.item.record
    assert at.control("image").currentText() == first.name
    assert [info.name for info in at.controller.classes] == ["cat", "dog"]
    at.layer().data_setitem((np.array([1, 1]), np.array([2, 3])), np.array([2, 2]))
    value = 1 if at.layer().data[5, 5] != 1 else 2
    at.layer().data_setitem((np.array([5]), np.array([5])), np.array([value]))
    painted = np.array(at.layer().data)
    at.click("review_next")
    wait_for_item(at, 1)
    assert at.status.startswith(f"{first.name} is written into the data set. Paint what is wrong")
    assert at.viewer.layers[0].name == "mine"
    assert before in at.viewer.layers
    assert len(at.viewer.layers) == 3
    kept = ReviewQueue(done).open(0).labels
    assert (kept.labels == painted).all()
    assert kept.corrections[5, 5] == value
    assert ReviewQueue(done).first_left() == 1
    at.click("review_previous")
    wait_for_item(at, 0)
    assert (at.layer().data == painted).all()
    at.controller.settings = replace(at.controller.settings, views="single")
    at.run("refine")
    assert at.layer().data[5, 5] == value
    assert "corrected pixels kept" in at.status
    at.run("review_save")
    assert at.status == f"{first.name} is written into the data set."
    at.run("review_save")
    assert at.status == f"Nothing of {first.name} was changed; it counts as reviewed."
    assert not at.control("review_previous").isEnabled()


def test_strokes_painted_while_next_writes_are_written_too(desk, done):
    at = desk()
    at.section("Review").reviewer.open(str(done))
    wait_for_item(at, 0)
    layer = at.layer()
    values = {place: 3 - max(1, int(layer.data[place])) for place in ((5, 5), (10, 10), (15, 8))}

    def paint(place):
        layer.data_setitem(tuple(np.array([i]) for i in place), values[place])

    paint((5, 5))
    at.click("review_next")
    assert at.controller.runner.running
    paint((10, 10))
    at.controller.runner.status.connect(
        lambda _: paint((15, 8)) if layer in at.viewer.layers else 0
    )
    wait_for_item(at, 1)
    kept = ReviewQueue(done).open(0).labels
    assert all(kept.corrections[place] == value for place, value in values.items())
    store = at.controller.autosave.store
    store.flush()
    assert list(store.folder.glob("*.npz")) == []


def test_a_folder_without_a_batch_is_told(desk, tmp_path):
    at = desk()
    at.section("Review").reviewer.open(str(tmp_path))
    at.wait()
    assert "finished batch" in at.status
    assert not at.control("review_next").isEnabled()


@pytest.mark.parametrize("text", ["cat, cup=mug|cup", '"salt, pepper"=shaker|"6 ""mill"', "a=b"])
def test_classes_survive_the_command_line(text):
    classes = parse_classes(text)
    assert parse_classes(as_labels(classes)) == classes


def test_the_buttons_of_review_are_in_view_after_a_batch(desk, done, new_viewer, qtbot):
    """In a narrow, low window, where the section grows once the first image is known."""
    viewer = new_viewer(show=True)
    at = desk(viewer=viewer)
    viewer.window._qt_window.resize(900, 560)
    dock = at.widget.parentWidget()
    viewer.window._qt_window.resizeDocks([dock], [250], Qt.Orientation.Horizontal)
    unfold(at, "batch")
    at.controller.batch_done.emit(str(done))
    wait_for_item(at, 0)
    names = [f"review_{name}" for name in ("where", "previous", "save", "next")]
    parts = [at.control(name) for name in names]
    where, previous, *_ = parts

    def laid_out() -> bool:
        whole = all(part.visibleRegion().boundingRect() == part.rect() for part in parts)
        return whole and where.geometry().bottom() < previous.geometry().top()

    qtbot.waitUntil(laid_out)
    for _ in range(20):  # and so it stays
        QApplication.processEvents()
    assert laid_out()
    line = at.control("batch_source")
    assert line.height() >= line.sizeHint().height(), "nothing is squeezed for it"
    assert where.text().startswith("1 of 3, 0 reviewed")
    assert where.height() >= 2 * where.fontMetrics().lineSpacing(), "both lines can be read"
    if shots := os.environ.get("WILDSEG_SHOTS"):
        viewer.window._qt_window.grab().save(f"{shots}/review.png")
