"""The commands end to end, with the bundled model on small pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.cli.main import main
from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.io import read_labels
from napari_wildseg.io.corrections_file import write_corrections

from ..engine.evaluation.helpers import write_set


@pytest.fixture(autouse=True)
def one_model(monkeypatch, starter):
    """Commands load the starter as always, only from memory."""
    from napari_wildseg.engine import segmenter_base

    original = segmenter_base.load_model

    def load(spec, **options):
        return starter if spec == "starter" else original(spec, **options)

    monkeypatch.setattr(segmenter_base, "load_model", load)


@pytest.fixture
def photo(tmp_path):
    """Chelsea the cat, 150 x 100."""
    cat = Image.fromarray(load_sample("chelsea")).resize((150, 100), Image.Resampling.LANCZOS)
    cat.save(tmp_path / "Größe one.png")
    return tmp_path / "Größe one.png"


def test_segment_writes_three_files(wildseg, photo, tmp_path):
    ran = wildseg("segment", photo, "--labels", "cat, sky", "--json")
    assert ran.status == 0
    summary = json.loads(ran.out)
    folder = tmp_path / "wildseg-out"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["Größe one.json", "Größe one.overlay.png", "Größe one.png"]
    labels = read_labels(folder / "Größe one.png")
    assert labels.labels.shape == (100, 150)
    assert [info.name for info in labels.classes] == ["cat", "sky"]
    assert 255 not in labels.labels
    # Chelsea fills the middle of the picture.
    middle = labels.labels[30:70, 40:110]
    assert (middle == 1).mean() > 0.4
    assert (middle == 2).mean() < 0.2
    assert summary["classes"][0]["pixels"] == int((labels.labels == 1).sum())
    assert summary["model"] == "starter"
    assert set(summary["seconds"]) >= {"encode", "relevance", "refine"}
    assert summary["image_size"] == {"height": 100, "width": 150}
    sidecar = json.loads((folder / "Größe one.json").read_text("utf-8"))
    assert sidecar["settings"]["views"] == "default"
    assert sidecar["classes"][1]["prompts"] == ["sky"]
    with Image.open(folder / "Größe one.png") as picture:
        assert picture.mode == "P"


def test_segment_gives_the_same_bytes_again(wildseg, photo, tmp_path):
    for folder in ("a", "b"):
        ran = wildseg("segment", photo, "--labels", "cat", "--views", "single", "--out", folder)
        assert ran.status == 0
        assert "cat" in ran.out
        assert "overlay: " in ran.out
    for name in ("Größe one.png", "Größe one.json", "Größe one.overlay.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_segment_without_refinement_leaves_pixels_open(wildseg, photo, tmp_path):
    ran = wildseg("segment", photo, "--labels", "cat", "--views", "single", "--no-refine")
    assert ran.status == 0
    labels = read_labels(tmp_path / "wildseg-out" / "Größe one.png")
    assert (labels.labels == 255).any()
    assert labels.settings["refined"] is False


def test_segment_keeps_existing_results(wildseg, photo, tmp_path):
    (tmp_path / "wildseg-out").mkdir()
    (tmp_path / "wildseg-out" / "Größe one.overlay.png").write_text("mine")
    command = ("segment", photo, "--labels", "cat", "--views", "single")
    ran = wildseg(*command)
    assert ran.status == 2
    assert "--overwrite" in ran.err
    assert [path.name for path in (tmp_path / "wildseg-out").iterdir()] == ["Größe one.overlay.png"]
    assert wildseg(*command, "--overwrite").status == 0
    assert (tmp_path / "wildseg-out" / "Größe one.overlay.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("missing.png", "--labels", "cat"), 2, "no file missing.png"),
        (("sample:unicorn", "--labels", "cat"), 2, "no sample"),
        (("sample:chelsea", "--labels", ""), 2, "class names"),
        (("sample:chelsea", "--labels", "cat, cat"), 2, "twice"),
        (("sample:chelsea", "--labels", "cat", "--model", "nothing/here"), 2, "nothing"),
        (("sample:chelsea", "--labels", "cat", "--views", "all"), 2, "all"),
        (("sample:chelsea", "--labels", "cat", "--refiner", "magic"), 2, "magic"),
    ],
)
def test_segment_says_what_is_wrong(wildseg, arguments, status, words, tmp_path):
    ran = wildseg("segment", *arguments)
    assert ran.status == status
    assert ran.err.count("\n") == 1
    assert words in ran.err
    assert not (tmp_path / "wildseg-out").exists()


def test_segment_says_that_a_folder_cannot_be_written(wildseg, photo, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "x"):
        ran = wildseg("segment", photo, "--labels", "cat", "--views", "single", "--out", out)
        assert ran.status == 1
        assert ran.err == f"wildseg: {file} is a file, not a folder: choose another place.\n"


def test_refine_keeps_corrections(wildseg, photo, tmp_path):
    wildseg("segment", photo, "--labels", "cat", "--views", "single", "--no-refine")
    corrections = np.full((100, 150), -1, np.int16)
    corrections[:10, :10] = 1
    corrections[50:55, 70:75] = 0
    write_corrections(tmp_path / "c.png", corrections)
    labels = tmp_path / "wildseg-out" / "Größe one.png"
    ran = wildseg(
        "refine", photo, labels, "--corrections", tmp_path / "c.png", "--out", "refined", "--json"
    )
    assert (ran.status, ran.err) == (0, "")
    found = read_labels(tmp_path / "refined" / "Größe one.png")
    assert (found.labels[corrections >= 0] == corrections[corrections >= 0]).all()
    assert 255 not in found.labels
    assert json.loads(ran.out)["changed_pixels"] > 0
    assert [info.name for info in found.classes] == ["cat"]


def test_refine_near_strokes_and_with_a_locked_class(wildseg, photo, tmp_path):
    wildseg("segment", photo, "--labels", "cat, wall", "--views", "single")
    labels = tmp_path / "wildseg-out" / "Größe one.png"
    before = read_labels(labels).labels
    corrections = np.full(before.shape, -1, np.int16)
    corrections[2:6, 2:6] = 3
    np.save(tmp_path / "c.npy", corrections)
    refine = ("refine", photo, labels, "--corrections", tmp_path / "c.npy")
    ran = wildseg(*refine, "--near", "5", "--out", "near")
    assert ran.status == 0, ran.err
    found = read_labels(tmp_path / "near" / "Größe one.png")
    assert found.settings["near"] == 5
    assert (found.labels[2:6, 2:6] == 3).all()
    np.testing.assert_array_equal(found.labels[11:], before[11:])
    np.testing.assert_array_equal(found.labels[:, 11:], before[:, 11:])
    ran = wildseg(*refine, "--lock", "cat, background", "--out", "locked")
    assert ran.status == 0, ran.err
    found = read_labels(tmp_path / "locked" / "Größe one.png")
    free = corrections < 0
    for label in (0, 1):
        np.testing.assert_array_equal((found.labels == label)[free], (before == label)[free])
    for wrong, told in (
        (("--near", "-2"), "number of pixels"),
        (("--lock", "cow"), "no class 'cow' to lock"),
    ):
        ran = wildseg(*refine, *wrong, "--out", "wrong")
        assert (ran.status, told in ran.err) == (2, True)
    ran = wildseg("refine", photo, labels, "--near", "3", "--out", "wrong")
    assert (ran.status, "--near needs corrections" in ran.err) == (2, True)


def test_refine_wants_labels_of_the_same_image(wildseg, photo, tmp_path):
    Image.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "l.png")
    ran = wildseg("refine", photo, tmp_path / "l.png")
    assert ran.status == 2
    assert "150 x 100" in ran.err


def test_suggest(wildseg, photo):
    ran = wildseg("suggest", photo, "--top", "5", "--views", "single", "--json")
    assert ran.status == 0
    found = json.loads(ran.out)["suggestions"]
    assert len(found) == 5
    assert "cat" in [entry["name"] for entry in found]
    ran = wildseg("suggest", photo, "--top", "3", "--views", "single")
    assert len(ran.out.splitlines()) == 4


def test_evaluate(wildseg, tmp_path):
    cat = np.asarray(Image.fromarray(load_sample("chelsea")).resize((150, 100)))
    mask = np.zeros((100, 150), np.uint8)
    mask[20:90, 20:130] = 3
    folder = write_set(tmp_path / "set", {"x": mask}, classes={"3": "cat", "4": "dog"})
    Image.fromarray(cat).save(folder / "images" / "x.png")
    ran = wildseg(
        "evaluate", folder, "--views", "fast", "--clicks", "3", "--json", "--annotator", "stroke"
    )
    assert (ran.status, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found["images"] == 1
    assert set(found["stages"]) == {"single view", "augmented", "refined"}
    assert found["stages"]["refined"] == found["miou"]
    assert set(found["per_class"]) == {"background", "cat"}
    assert found["per_class"]["cat"] > 0.4
    assert len(found["clicks"]) == 4
    ran = wildseg("evaluate", folder, "--views", "fast")
    assert ran.status == 0
    assert "refined" in ran.out
    ran = wildseg("evaluate", folder, "--views", "fast", "--compare", "default,random_walker")
    assert (ran.status, ran.err) == (0, "")
    first, *rows = (line.split() for line in ran.out.splitlines())
    assert first == ["figure", "default", "random_walker"]
    assert {"miou", "boundary_f", "seconds"} <= {row[0] for row in rows}


def test_evaluate_says_what_is_wrong(wildseg, tmp_path):
    ran = wildseg("evaluate", tmp_path / "none")
    assert ran.status == 2
    assert "no folder" in ran.err
    (tmp_path / "file").write_text("")
    ran = wildseg("evaluate", tmp_path / "file")
    assert "file is a file, not a folder" in ran.err


def test_models(wildseg, tmp_path, monkeypatch):
    monkeypatch.setenv("WILDSEG_CACHE", str(tmp_path / "cache"))
    ran = wildseg("models")
    assert ran.status == 0
    assert "starter" in ran.out
    found = json.loads(wildseg("models", "--json").out)
    assert found["cache"] == str(tmp_path / "cache")
    assert found["models"][0]["model"] == "starter"
    assert found["models"][0]["status"] == "bundled"
    assert {"megabytes", "licence", "when"} <= set(found["models"][0])


def test_the_picture_itself_is_never_replaced(wildseg, photo):
    before = photo.read_bytes()
    command = ("segment", photo, "--labels", "cat", "--views", "single", "--out", photo.parent)
    ran = wildseg(*command, "--overwrite")
    assert ran.status == 2
    assert "would be replaced while it is read" in ran.err
    assert photo.read_bytes() == before


def test_main_returns_a_status(capsys):
    assert main(["segment", "nothing.png", "--labels", "cat"]) == 2
    assert capsys.readouterr().err.startswith("wildseg: ")
