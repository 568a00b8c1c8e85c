"""Damaged files of every format: an InputError or labels, never a crash, never a hang.

Every reader reads a fixed number of mutations of a good file, the same ones every time.
"""

from __future__ import annotations

import shutil
import time
import warnings

import numpy as np
import pytest

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import read_picture
from napari_wildseg.io import (
    FORMATS,
    COCODataSet,
    LabelImage,
    Project,
    VOCDataSet,
    load_project,
    read_labels,
    save_project,
    write_labels,
)
from napari_wildseg.io.corrections_file import read_corrections, write_corrections

SECONDS = 20  # of the processor for one mutation; far more than any takes

# Numbers and words that readers trip over, put in place of others.
SPITEFUL = [
    b"-1",
    b"0",
    b"1e309",
    b"99999999999",
    b"null",
    b"NaN",
    b'""',
    b"[]",
    b"{}",
    b"\xff\xff",
]


@pytest.fixture(params=[40, pytest.param(1500, marks=pytest.mark.nightly)], ids=["short", "long"])
def each(request):
    """Number of mutations that a reader gets."""
    return request.param


def mutate(data, rng):
    """Change a file a little, in one of six ways."""
    at = int(rng.integers(len(data)))
    kind = rng.integers(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + rng.bytes(int(rng.integers(1, 9))) + data[at:]
    if kind == 3:
        return data[:at] + data[at + int(rng.integers(1, 30)) :]
    if kind == 4:
        flipped = bytearray(data)
        for place in rng.integers(len(data), size=5):
            flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57] or [at]
    at = digits[int(rng.integers(len(digits)))]
    return data[:at] + SPITEFUL[int(rng.integers(len(SPITEFUL)))] + data[at + 1 :]


def sample(stack=False):
    values = np.zeros((12, 17), np.uint8)
    values[2:9, 3:12] = 1
    values[4:6, 5:8] = 0
    values[0] = 255
    corrections = np.full((12, 17), -1, np.int16)
    corrections[3] = 1
    classes = (ClassInfo(1, "größe", ("a", "b"), (1, 200, 3)),)
    if stack:
        values, corrections = np.stack([values] * 2), np.stack([corrections] * 2)
    ndim = values.ndim
    return LabelImage(
        values,
        classes,
        scale=(4, 0.5, 2)[-ndim:],
        corrections=corrections,
        translate=range(ndim),
        affine=np.diag([2.0] * (ndim + 1)),
    )


def survive(read, path, files, each):
    """Read with each file mutated in turn; give how many were refused."""
    refused = longest = 0
    rng = np.random.default_rng(7)
    originals = {file: file.read_bytes() for file in files}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(each):
            file = files[n % len(files)]
            file.write_bytes(mutate(originals[file], rng))
            started = time.process_time()
            try:
                read(path)
            except InputError as error:
                refused += 1
                longest = max(longest, len(str(error)))
            assert time.process_time() - started < SECONDS
            file.write_bytes(originals[file])
    assert longest < 400
    read(path)  # the good file is still good
    return refused


KINDS = [(f, False) for f in FORMATS] + [(f, True) for f in FORMATS if f.stacks]


@pytest.mark.parametrize(
    ("format", "stack"), KINDS, ids=[f"{f.name}{'-stack' * stack}" for f, stack in KINDS]
)
def test_label_readers(tmp_path, format, stack, each):
    path = tmp_path / f"x{format.suffixes[0]}"
    how = "keep" if format.unlabelled else "nearest"
    write_labels(path, sample(stack), unlabelled=how)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert survive(read_labels, path, files, each) > each // 10


def test_project_reader(tmp_path, each):
    labels = sample()
    maps = np.zeros((1, 12, 17), np.float32)
    save_project(tmp_path / "x.wildseg", Project(labels, labels.labels, maps))
    path = tmp_path / "x.wildseg"
    assert survive(load_project, path, [path], each) > each // 2


@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_corrections_reader(tmp_path, ending, each):
    path = tmp_path / f"c{ending}"
    write_corrections(path, sample().corrections)
    assert survive(lambda p: read_corrections(p, (12, 17)), path, [path], each) > each // 10


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".gif", ".bmp", ".webp"])
def test_picture_reader(tmp_path, ending, each):
    import tifffile
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
    path = tmp_path / f"x{ending}"
    if ending == ".tif":
        tifffile.imwrite(path, picture)
    else:
        Image.fromarray(picture).save(path)
    survive(read_picture, path, [path], each)


@pytest.mark.parametrize(
    ("layout", "part"),
    [
        (COCODataSet, "annotations/instances_train.json"),
        (VOCDataSet, "VOCdevkit/VOC2012/labelmap.txt"),
    ],
)
def test_growing_a_damaged_data_set(tmp_path, layout, part, each):
    good, folder = tmp_path / "good", tmp_path / "d"
    labels = sample()
    picture = np.zeros((12, 17, 3), np.uint8)
    layout(good).add("one", picture, labels)

    def grow(_):
        layout(folder).add("two", picture, labels, overwrite=True)

    shutil.copytree(good, folder)
    survive(grow, folder, [folder / part], each)


FOREIGN = ("polygons.json", "labels/train/p.txt", "sharded.zarr", "turned.png", "lzw.tif")


@pytest.mark.parametrize("name", FOREIGN)
def test_readers_of_other_programs_files(tmp_path, name, each):
    """Polygons, YOLO's layout with its names, shards, turned masks, LZW: refused or read."""
    import json

    import tifffile
    import zarr
    from PIL import Image

    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    values = sample().labels
    if name == "polygons.json":
        entry = {"id": 1, "image_id": "1", "category_id": 0, "segmentation": [[2, 2, 9, 2, 9, 8]]}
        about = {"id": 1, "file_name": "a/x.jpg", "height": 12, "width": 17}
        content = {"images": [about], "annotations": [entry], "categories": [{"id": 0}]}
        path.write_text(json.dumps(content))
        files = [path]
    elif name.endswith(".txt"):
        picture = tmp_path / "images/train/p.JPG"
        picture.parent.mkdir(parents=True)
        Image.new("RGB", (17, 12)).save(picture)
        names = tmp_path / "data.yaml"
        names.write_text("path: .\nnames:\n  0: cat\n  1: dog\n")
        path.write_text("1 0.1 0.1 0.9 0.1 0.9 0.9\n0 0.1 0.1 0.3 0.1 0.3 0.3\n")
        files = [path, names]
    elif name.endswith(".zarr"):
        zarr.create_array(path / "0", data=values, chunks=(4, 4), shards=(12, 20), overwrite=True)
        level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2, 2]}]}
        attributes = {"ome": {"multiscales": [{"axes": ["y", "x"], "datasets": [level]}]}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(group))
        files = sorted(p for p in path.rglob("*") if p.is_file())
    elif name.endswith(".png"):
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(values).save(path, exif=exif)
        files = [path]
    else:
        tifffile.imwrite(path, values, compression="lzw", predictor=True)
        files = [path]
    assert survive(read_labels, path, files, each) > each // 30


@pytest.mark.parametrize("kind", ["CMYK", "LAB", "P", "lzw", "jpeg", "1"])
def test_tiff_pictures_of_other_colour_models(tmp_path, kind, each):
    """Colour tables, inks, codecs: whole and lazily, a picture or one sentence."""
    import tifffile
    from PIL import Image

    from napari_wildseg.io.lazy import open_lazily

    rgb = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
    path = tmp_path / "x.tif"
    if kind in ("CMYK", "P", "1"):
        Image.fromarray(rgb).convert(kind).save(path)
    elif kind == "LAB":
        tifffile.imwrite(path, rgb, photometric="cielab")
    else:
        tifffile.imwrite(path, rgb, photometric="rgb", compression=kind)

    def read_both(path):
        read_picture(path)
        try:
            with open_lazily(path) as opened:
                np.asarray(opened.plane(0)[0])
        except InputError:
            raise
        except Exception as error:  # damage that shows when pixels are read
            raise InputError(str(error)[:300]) from error

    survive(read_both, path, [path], each)
