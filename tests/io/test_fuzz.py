"""Damaged files of every format: an InputError or labels, never a crash, never a hang.

The budget is fixed: `EACH` mutations of a good file for every reader, the same ones every time.
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
from napari_wildseg.io.corrections import read_corrections, write_corrections

EACH = 150
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


def survive(read, path, files):
    """Read with each file mutated in turn; give how many were refused."""
    refused = longest = 0
    rng = np.random.default_rng(7)
    originals = {file: file.read_bytes() for file in files}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(EACH):
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
def test_label_readers(tmp_path, format, stack):
    path = tmp_path / f"x{format.suffixes[0]}"
    how = "keep" if format.unlabelled else "nearest"
    write_labels(path, sample(stack), unlabelled=how)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert survive(read_labels, path, files) > EACH // 10


def test_project_reader(tmp_path):
    labels = sample()
    maps = np.zeros((1, 12, 17), np.float32)
    save_project(tmp_path / "x.wildseg", Project(labels, labels.labels, maps))
    path = tmp_path / "x.wildseg"
    assert survive(load_project, path, [path]) > EACH // 2


@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_corrections_reader(tmp_path, ending):
    path = tmp_path / f"c{ending}"
    write_corrections(path, sample().corrections)
    assert survive(lambda p: read_corrections(p, (12, 17)), path, [path]) > EACH // 10


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".gif", ".bmp", ".webp"])
def test_picture_reader(tmp_path, ending):
    import tifffile
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
    path = tmp_path / f"x{ending}"
    if ending == ".tif":
        tifffile.imwrite(path, picture)
    else:
        Image.fromarray(picture).save(path)
    survive(read_picture, path, [path])


@pytest.mark.parametrize(
    ("layout", "part"),
    [
        (COCODataSet, "annotations/instances_train.json"),
        (VOCDataSet, "VOCdevkit/VOC2012/labelmap.txt"),
    ],
)
def test_growing_a_damaged_data_set(tmp_path, layout, part):
    good, folder = tmp_path / "good", tmp_path / "d"
    labels = sample()
    picture = np.zeros((12, 17, 3), np.uint8)
    layout(good).add("one", picture, labels)

    def grow(_):
        layout(folder).add("two", picture, labels, overwrite=True)

    shutil.copytree(good, folder)
    survive(grow, folder, [folder / part])
