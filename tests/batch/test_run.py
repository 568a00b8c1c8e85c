"""Batches to their end, cancelled, killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.batch import Batch, ReviewQueue, batch_steps, read_report
from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.progress import drain
from napari_wildseg.io import COCODataSet, LabelImage, VOCDataSet, read_labels, write_labels

from .conftest import contents, done_by_journal, write_pictures


@pytest.fixture
def batch(tmp_path, settings):
    """Twenty-four pictures, three of them broken."""
    write_pictures(tmp_path / "pictures", 24, broken=3)
    return Batch(
        str(tmp_path / "pictures"), "cat, dog", tmp_path / "out", settings=settings, workers=2
    )


def small(batch, count=4):
    """The same with the first few pictures alone."""
    folder = batch.folder.parent / "few"
    write_pictures(folder, count)
    return replace(batch, source=str(folder))


def test_every_image_is_done_or_reported(batch):
    seen = []
    report = drain(batch_steps(batch), seen.append)
    assert (len(report.done), len(report.failed)) == (21, 3)
    assert all("not a picture" in record.failure for record in report.failed)
    assert [(p.done, p.total, p.failed) for p in seen][-1] == (24, 24, 3)
    for record in report.done:
        labels = read_labels(batch.folder / record.files[0])
        assert labels.labels.shape == record.size
        assert [info.name for info in labels.classes] == ["cat", "dog"]
        assert sum(record.classes.values()) == np.count_nonzero(labels.labels)
    on_disk = read_report(batch.folder)
    assert on_disk.review == report.review
    assert {r.name for r in on_disk.failed} == {r.name for r in report.failed}
    scores = [record.uncertainty["score"] for record in on_disk.records[:21]]
    assert scores == sorted(scores, reverse=True)
    table = (batch.folder / "report.csv").read_text("utf-8").splitlines()
    assert len(table) == 25


def test_the_number_of_workers_changes_no_byte(batch):
    few = small(batch, 8)
    drain(batch_steps(replace(few, workers=1)))
    drain(batch_steps(replace(few, workers=3, folder=batch.folder.with_name("three"))))
    assert contents(few.folder) == contents(batch.folder.with_name("three"))


KILLED = """
import itertools, os, signal, sys, threading
from pathlib import Path
from napari_wildseg.batch import Batch, BatchSettings, batch_steps, journal, outputs
from napari_wildseg.engine.progress import drain

source, folder, model, place, count = sys.argv[1:]
calls = itertools.count(1)  # several lanes count
noted = threading.Event()
def dies(then):
    def call(self, *args, **more):
        if next(calls) == int(count):
            then(self, *args)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **more)
    return call
if place == "between":  # files are in place, the journal's line is torn
    original = journal.Journal.add
    journal.Journal.add = dies(lambda j, r: (j._file.write(b'{"name": "' ), j._file.flush()))
else:  # the first file of an image is there, the second is not
    original, add = outputs.COCOOutput.write, journal.Journal.add
    journal.Journal.add = lambda self, record: (add(self, record), record.failure or noted.set())
    def first_file(output, name, rgb, *_):
        noted.wait()  # lanes may be any number of images ahead of the journal
        path = output.folder / output.files(name)[0]
        outputs.atomic_write(path, outputs.png_bytes(rgb), overwrite=True)
    outputs.COCOOutput.write = dies(first_file)
batch = Batch(source, "cat, dog", Path(folder), format="coco", resume=True, workers=2,
              settings=BatchSettings(model=model, views="single"))
drain(batch_steps(batch))
"""


WITHIN, BETWEEN = ("within", 8), ("between", 6)


@pytest.mark.parametrize(
    "kills", [[WITHIN], pytest.param([WITHIN, BETWEEN], marks=pytest.mark.nightly)], ids=len
)
@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_killed_and_resumed_gives_the_same_bytes(batch, kills):
    whole = replace(batch, format="coco", folder=batch.folder.with_name("whole"))
    drain(batch_steps(whole))
    done = set()
    for place, count in kills:
        arguments = [batch.source, str(batch.folder), batch.settings.model, place, str(count)]
        killed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), *arguments],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before, done = done, done_by_journal(batch.folder)
        assert before < done  # it went on where the one before was killed
    # As a process that is killed amid a line of the journal, or before it gives a file its name.
    with (batch.folder / ".wildseg-batch" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"name": "')
    (batch.folder / "train" / ".wildseg-0123456789ab.png").write_text("half")
    seen = []
    report = drain(batch_steps(replace(batch, format="coco", resume=True)), seen.append)
    assert seen[0].resumed == len(done) < 24
    assert len(report.failed) == 3
    assert contents(batch.folder) == contents(whole.folder)


def test_encodings_are_kept_for_another_batch(batch, tmp_path, monkeypatch):
    few = replace(small(batch), cache_dir=tmp_path / "cache")
    drain(batch_steps(few))
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 4
    again = replace(few, folder=tmp_path / "again")

    def encoded(*_):
        raise AssertionError("an image was encoded again")

    monkeypatch.setattr("napari_wildseg.engine.images.encoding._encode_views", encoded)
    drain(batch_steps(again))
    assert contents(again.folder) == contents(few.folder)


def test_resuming_what_is_done_does_nothing(batch, monkeypatch):
    few = small(batch)
    drain(batch_steps(few))
    before = contents(few.folder)
    monkeypatch.setattr("napari_wildseg.engine.segmenter_base.load_model", None)  # is not called
    drain(batch_steps(replace(few, resume=True)))
    assert contents(few.folder) == before


def test_resuming_does_what_is_missing_or_mended(batch):
    write_pictures(batch.folder.parent / "few", 4, broken=2)
    few = replace(batch, source=str(batch.folder.parent / "few"))
    report = drain(batch_steps(few))
    assert len(report.failed) == 2
    write_pictures(batch.folder.parent / "few", 6)
    (few.folder / "000.png").unlink()
    kept = (few.folder / "002.png").stat().st_mtime_ns
    seen = []
    report = drain(batch_steps(replace(few, resume=True)), seen.append)
    assert len(report.done) == 6
    assert seen[0].resumed == 1
    assert (few.folder / "002.png").stat().st_mtime_ns == kept


def test_what_an_annotator_corrected_is_not_done_again(batch):
    few = small(batch)
    drain(batch_steps(few))
    (few.folder / "001.png").write_bytes(b"mine")
    drain(batch_steps(replace(few, resume=True)))
    assert (few.folder / "001.png").read_bytes() == b"mine"


def test_cancelling_stops_at_once_and_resume_goes_on(batch):
    steps = batch_steps(batch)
    while next(steps).done < 5:
        pass
    steps.close()
    assert not (batch.folder / "report.json").exists()
    done = done_by_journal(batch.folder)
    assert 0 < len(done) <= 5
    seen = []
    report = drain(batch_steps(replace(batch, resume=True)), seen.append)
    assert seen[0].resumed == len(done)
    assert len(report.done) == 21


def test_a_batch_is_not_begun_twice_nor_by_two(batch):
    few = small(batch)
    steps = batch_steps(few)
    next(steps)
    with pytest.raises(InputError, match="Another batch"):
        drain(batch_steps(replace(few, resume=True)))
    drain(steps)
    with pytest.raises(InputError, match="--resume"):
        drain(batch_steps(few))
    drain(batch_steps(replace(few, overwrite=True)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": "cat, cow"}, "other classes"),
        ({"format": "voc"}, "--format png, not voc"),
        ({"labels": "auto"}, "kind of --labels"),
    ],
)
def test_resuming_otherwise_is_refused(batch, change, words):
    few = small(batch, 2)
    drain(batch_steps(few))
    with pytest.raises(InputError, match=words):
        drain(batch_steps(replace(few, resume=True, **change)))
    with pytest.raises(InputError, match=r"threshold 0.5, not 0.6"):
        drain(batch_steps(replace(few, resume=True, settings=replace(few.settings, threshold=0.6))))


def test_objects_are_of_the_whole_batch_or_of_none(batch):
    few = small(batch, 2)
    drain(batch_steps(replace(few, settings=replace(few.settings, objects=True))))
    with pytest.raises(InputError, match="objects True, not False"):
        drain(batch_steps(replace(few, resume=True)))


def test_file_in_place_of_the_cache_is_refused_before_anything_is_written(batch, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(InputError, match="kept is a file, not a folder"):
        drain(batch_steps(replace(batch, cache_dir=tmp_path / "kept")))
    assert not batch.folder.exists()


def test_resuming_with_another_version_or_other_weights_is_refused(batch, monkeypatch):
    few = small(batch)
    drain(batch_steps(few))
    before = contents(few.folder)
    drain(batch_steps(replace(few, resume=True)))
    (few.folder / "002.png").unlink()
    again = replace(few, resume=True)
    with monkeypatch.context() as context:
        context.setattr("napari_wildseg.batch.run_batch.this_program", lambda: "99.0")
        with pytest.raises(InputError, match=r"this is 99.0.*--mix-versions"):
            drain(batch_steps(again))
    journal = few.folder / ".wildseg-batch" / "journal.jsonl"
    text = journal.read_text("ascii")
    journal.write_text(text.replace('"weights": "', '"weights": "other'), "ascii")
    with pytest.raises(InputError, match="other weights"):
        drain(batch_steps(again))
    journal.write_text(text, "ascii")
    drain(batch_steps(again))
    assert contents(few.folder) == before
    (few.folder / "002.png").unlink()
    monkeypatch.setattr("napari_wildseg.batch.run_batch.this_program", lambda: "99.0")
    report = drain(batch_steps(replace(again, mix_versions=True)))
    assert [origin.program for origin in report.made_by][1:] == ["99.0"]
    assert read_report(few.folder).made_by == report.made_by


def test_files_of_others_are_not_replaced(batch):
    few = small(batch)
    few.folder.mkdir()
    (few.folder / "002.json").write_text("mine")
    with pytest.raises(InputError, match=r"002.json is already there"):
        drain(batch_steps(few))
    assert contents(few.folder) == {"002.json": b"mine"}
    with pytest.raises(InputError, match="would replace a picture"):
        drain(batch_steps(replace(few, folder=batch.folder.parent / "few", overwrite=True)))


def test_an_output_that_cannot_be_written_ends_the_run(batch, monkeypatch):
    from napari_wildseg.batch import outputs

    few = small(batch)

    def full(path, *_, **__):
        raise WildsegError(f"{path} cannot be written: no space left on device.")

    with monkeypatch.context() as context:
        context.setattr(outputs.FilesOutput, "write", full)
        with pytest.raises(WildsegError, match="no space left"):
            drain(batch_steps(few))
    assert len(drain(batch_steps(replace(few, resume=True))).done) == 4


def test_wrong_settings_fail_before_the_first_image(batch):
    with pytest.raises(InputError, match="preset"):
        replace(batch.settings, views="all")
    with pytest.raises(InputError, match="magic"):
        replace(batch.settings, refiner="magic")
    with pytest.raises(WildsegError):
        drain(batch_steps(replace(batch, settings=replace(batch.settings, method="magic"))))


def test_voc_is_read_by_the_data_set(batch):
    few = replace(small(batch), format="voc")
    drain(batch_steps(few))
    base = few.folder / "VOCdevkit" / "VOC2012"
    listed = (base / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
    assert listed == ["000", "001", "002", "003"]
    assert [info.name for info in VOCDataSet(few.folder).classes] == ["cat", "dog"]
    with Image.open(base / "SegmentationClass" / "000.png") as mask:
        assert mask.mode == "P"


def test_voc_takes_classes_whose_ids_have_gaps(batch, tmp_path):
    entries = [{"id": 2, "name": "cat"}, {"id": 4, "name": "dog"}]
    (tmp_path / "set.json").write_text(json.dumps({"format": "a class set", "classes": entries}))
    few = replace(small(batch, 2), format="voc", labels=str(tmp_path / "set.json"))
    assert len(drain(batch_steps(few)).done) == 2
    names = [(info.id, info.name) for info in VOCDataSet(few.folder).classes]
    assert names == [(1, "class 1"), (2, "cat"), (3, "class 3"), (4, "dog")]


def test_coco_is_read_by_pycocotools_and_holds_unlabelled(batch, capsys):
    from pycocotools.coco import COCO

    few = replace(
        small(batch), format="coco", settings=replace(batch.settings, refine=False, threshold=0.4)
    )
    report = drain(batch_steps(few))
    path = few.folder / "annotations" / "instances_train.json"
    data = COCO(path)
    assert data.getImgIds() == [1, 2, 3, 4]
    assert [info.name for info in COCODataSet(few.folder).classes] == ["cat", "dog"]
    by_name = {record.name: record for record in report.done}
    for entry in data.loadImgs(data.getImgIds()):
        record = by_name[entry["file_name"].removesuffix(".png")]
        counts = dict.fromkeys(record.classes, 0)
        for annotation in data.loadAnns(data.getAnnIds(entry["id"])):
            counts[annotation["category_id"]] += int(data.annToMask(annotation).sum())
        assert counts == dict(record.classes)


def test_a_damaged_part_of_coco_is_told(batch):
    few = replace(small(batch, 2), format="coco")
    drain(batch_steps(few))
    part = few.folder / ".wildseg-batch" / "parts" / "000.json"
    assert isinstance(json.loads(part.read_text()), list)
    for damage in ("", "[\n", "[\nnull\n]\n"):
        part.write_text(damage)
        with pytest.raises(InputError, match=r"000.json cannot be read; remove it"):
            drain(batch_steps(replace(few, resume=True)))
    part.unlink()
    assert len(drain(batch_steps(replace(few, resume=True))).done) == 2


def test_known_labels_and_images_with_none(batch, tmp_path):
    few = small(batch)
    listed = {"000": ["dog"], "001": [], "003": "cat, dog"}
    (tmp_path / "known.json").write_text(json.dumps(listed))
    report = drain(batch_steps(replace(few, labels=str(tmp_path / "known.json"))))
    assert [record.name for record in report.failed] == ["002"]
    assert "no labels are listed" in report.failed[0].failure
    assert [info.name for info in report.classes] == ["dog", "cat"]
    found = read_labels(few.folder / "003.png")
    assert [info.name for info in found.classes] == ["dog", "cat"]
    assert not read_labels(few.folder / "001.png").labels.any()


def test_an_image_may_hold_none_of_the_classes(batch, monkeypatch):
    few = replace(small(batch), if_present=True)
    scores = iter([[("cat", 0.9), ("dog", 0.1)], [("cat", 0.2), ("dog", 0.4)]])
    monkeypatch.setattr(
        "napari_wildseg.engine.segmenter.tag", lambda *_, **__: next(scores, [("cat", 0.0)])
    )
    report = drain(batch_steps(replace(few, workers=1)))
    first, second, third = report.records[:3]
    assert list(first.classes) == [1]
    assert list(second.classes) == []
    assert second.notices == ("None of the classes was found in the image.",)
    # The cut of a batch does not depend on how many names are looked for.
    assert second.uncertainty["score"] == 0.4
    assert third.uncertainty["score"] == 0
    assert not read_labels(few.folder / second.files[0]).labels.any()


def test_automatic_labels(batch, tmp_path):
    few = small(batch)
    (tmp_path / "names.txt").write_text("cat\ndog\nhorse\n")
    report = drain(batch_steps(replace(few, labels="auto", vocabulary=str(tmp_path / "names.txt"))))
    assert len(report.done) == 4
    assert all(1 <= len(record.classes) <= 3 for record in report.done)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_picture_whose_name_is_no_utf_8_is_done_and_reported(batch, tmp_path):
    few = small(batch, 2)
    odd = os.fsencode(few.source) + b"/lat\xe9in.png"
    shutil.copy(os.fsencode(few.source) + b"/000.png", odd)
    listing = tmp_path / "list.txt"
    listing.write_bytes(odd + b"\n" + os.fsencode(few.source) + b"/001.png\n")
    for folder, source in (("a", few.source), ("b", str(listing))):
        report = drain(batch_steps(replace(few, source=source, folder=tmp_path / folder)))
        assert not report.failed
        assert os.fsdecode(odd) in {record.image for record in report.records}
        assert "\\udce9" in (tmp_path / folder / "report.csv").read_text("utf-8")
        queue = ReviewQueue(tmp_path / folder)
        place = [record.image for record in queue.records].index(os.fsdecode(odd))
        assert queue.open(place).labels.labels.shape == queue.records[place].size
    resumed = replace(few, source=str(listing), folder=tmp_path / "b", resume=True)
    assert len(drain(batch_steps(resumed)).done) == 2


def test_an_output_folder_that_is_deleted_amid_a_batch_is_a_failure(batch):
    few = replace(small(batch, 6), workers=1)
    steps = batch_steps(few)
    while next(steps).done < 2:
        pass
    shutil.rmtree(few.folder)
    with pytest.raises(WildsegError, match="was deleted or replaced"):
        drain(steps)
    assert not (few.folder / "report.json").exists()
    again = drain(batch_steps(replace(few, resume=True, overwrite=True)))
    assert len(again.done) == 6


def test_files_that_are_deleted_amid_a_batch_are_no_success(batch):
    few = replace(small(batch, 6), workers=1)
    steps = batch_steps(few)
    while next(steps).done < 2:
        pass
    gone = next(few.folder.glob("*.png"))
    gone.unlink()
    with pytest.raises(WildsegError, match=f"{gone.name} first: go on with --resume"):
        drain(steps)
    assert len(drain(batch_steps(replace(few, resume=True))).done) == 6
    assert gone.exists()


@pytest.mark.parametrize(("format", "kind"), [("voc", VOCDataSet), ("coco", COCODataSet)])
@pytest.mark.parametrize("overwrite", [True, False])
def test_the_lists_of_another_data_set_are_not_replaced(batch, format, kind, overwrite):
    few = replace(small(batch, 2), format=format, overwrite=overwrite)
    info = ClassInfo(1, "rocket", ("rocket",), (1, 2, 3))
    labels = LabelImage(np.ones((4, 5), np.uint8), (info,))
    kind(few.folder).add("mine", np.zeros((4, 5, 3), np.uint8), labels)
    before = contents(few.folder)
    with pytest.raises(InputError, match="belongs to another data set"):
        drain(batch_steps(few))
    assert contents(few.folder) == before


def test_what_a_batch_reads_or_another_file_owns_is_not_replaced(batch, tmp_path):
    few = replace(small(batch, 2), overwrite=True)
    few.folder.mkdir()
    names = few.folder / "000.json"
    names.write_text(json.dumps({"000": ["cat"], "001": ["dog"]}))
    with pytest.raises(InputError, match=r"000\.json is read by the batch"):
        drain(batch_steps(replace(few, labels=str(names))))
    with pytest.raises(InputError, match="is no such file"):  # another program's
        drain(batch_steps(few))
    assert json.loads(names.read_text()) == {"000": ["cat"], "001": ["dog"]}
    names.unlink()
    labels = LabelImage.from_array(np.ones((4, 5), np.uint8))
    write_labels(few.folder / "001.txt", labels)
    with pytest.raises(InputError, match=r"describes 001\.txt"):
        drain(batch_steps(few))
