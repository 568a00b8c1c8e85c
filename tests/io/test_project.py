"""Project files."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import LabelImage, Project, load_project, save_project
from napari_wildseg.io.project import image_digest

from .strategies import label_images


@given(label_images(corrections=True), st.booleans(), st.booleans())
def test_the_very_same_state_comes_back(tmp_path_factory, labels, pseudo, maps):
    shape = labels.labels.shape
    rng = np.random.default_rng(0)
    project = Project(
        labels,
        pseudo_labels=labels.labels.copy() if pseudo else None,
        relevance=rng.random((len(labels.classes), *shape), np.float32) if maps else None,
        image_digest=image_digest(np.zeros((*shape, 3), np.uint8)),
    )
    path = tmp_path_factory.mktemp("p") / "x.wildseg"
    save_project(path, project)
    found = load_project(path)
    assert found.labels.about() == labels.about()
    assert (found.labels.labels == labels.labels).all()
    assert (found.labels.corrections == labels.corrections).all()
    for name in ("pseudo_labels", "relevance"):
        before, after = getattr(project, name), getattr(found, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert before.dtype == after.dtype
            assert (before == after).all()
    assert found.image_digest == project.image_digest


@pytest.fixture
def saved(tmp_path):
    """A project file, and what is in it."""
    cat = ClassInfo(1, "cat", ("cat",), (1, 2, 3))
    labels = LabelImage(np.ones((5, 6), np.uint8), (cat,))
    project = Project(labels, pseudo_labels=np.full((5, 6), 255, np.uint8))
    path = save_project(tmp_path / "x.wildseg", project)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    return path, content


def rewrite(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_the_same_project_gives_the_same_bytes(saved):
    path, _ = saved
    before = path.read_bytes()
    save_project(path, load_project(path), overwrite=True)
    assert path.read_bytes() == before


def test_numpy_opens_it_without_pickle(saved):
    with np.load(saved[0]) as arrays:
        assert (arrays["labels"] == 1).all()


@pytest.mark.parametrize(
    ("member", "data"),
    [
        ("labels.npy", npy(np.array([[{}]], object), allow_pickle=True)),
        ("labels.npy", npy(np.ones((5, 6)))),
        ("labels.npy", npy(np.ones((5, 7), np.uint8))),
        ("labels.npy", npy(np.full((5, 6), 300, np.uint16))),
        ("labels.npy", b"hello"),
        ("labels.npy", npy(np.ones((5, 6), np.uint8))[:-4]),
        ("labels.npy", npy(np.ones((5, 6), np.uint8)) + b"more"),
        ("corrections.npy", npy(np.full((5, 6), -7, np.int16))),
        ("corrections.npy", npy(np.zeros((6, 5), np.int16))),
        ("pseudo_labels.npy", npy(np.full((5, 6), 9, np.uint8))),
        ("pseudo_labels.npy", npy(np.zeros((5, 5), np.uint8))),
        ("relevance.npy", npy(np.zeros((2, 5, 6), np.float32))),
        ("relevance.npy", npy(np.full((1, 5, 6), np.nan, np.float32))),
        ("about.json", b"{"),
        ("about.json", b"[]"),
        ("about.json", b"[" * 200_000),
    ],
)
def test_broken_projects_are_refused(saved, member, data):
    path, content = saved
    rewrite(path, {**content, member: data})
    with pytest.raises(InputError):
        load_project(path)


@pytest.mark.parametrize(
    "change",
    [{"format": "x"}, {"version": 2}, {"version": "1"}, {"labels": None}, {"image_digest": "../"}],
)
def test_descriptions_are_checked(saved, change):
    path, content = saved
    about = {**json.loads(content["about.json"]), **change}
    rewrite(path, {**content, "about.json": json.dumps(about).encode()})
    with pytest.raises(InputError):
        load_project(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(saved):
    """A header that says 40 gigapixels, and ten gigabytes of zeros that deflate to little."""
    path, content = saved
    header = npy(np.zeros((1, 1), np.uint8))[:-1].replace(b"(1, 1), }      ", b"(200000, 200000)}")
    rewrite(path, {**content, "labels.npy": header + bytes(50_000_000)})
    with pytest.raises(InputError, match="too many|damaged"):
        load_project(path)
    small = npy(np.ones((5, 6), np.uint8))
    rewrite(path, {**content, "labels.npy": small + bytes(200_000_000)})
    with pytest.raises(InputError, match="longer than it says"):
        load_project(path)


def test_no_project_at_all(tmp_path):
    (tmp_path / "x.wildseg").write_text("hello")
    with pytest.raises(InputError, match="damaged"):
        load_project(tmp_path / "x.wildseg")
    with pytest.raises(InputError, match="no file"):
        load_project(tmp_path / "y.wildseg")
