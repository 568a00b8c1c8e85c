"""Files that unpack to far more than they declare are not unpacked."""

from __future__ import annotations

import json
import tracemalloc
import zlib

import numcodecs
import numpy as np
import pytest
import tifffile

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import LabelImage, read_labels, write_labels
from napari_wildseg.io.bombs import declared_within, deflate_within

BOMB = 300_000_000


@pytest.fixture(scope="module")
def deflated():
    return zlib.compress(bytes(BOMB), 9)


def refused(path, sentence="far more"):
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=sentence):
            read_labels(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_a_tiff(tmp_path, deflated):
    path = tmp_path / "x.tif"
    tifffile.imwrite(
        path,
        iter([deflated]),
        shape=(16, 16),
        dtype=np.uint8,
        compression="zlib",
        rowsperstrip=16,
        photometric="minisblack",
    )
    refused(path)


def zarr_with(tmp_path, compressor, chunk):
    path = tmp_path / "x.zarr"
    write_labels(path, LabelImage.from_array(np.ones((16, 16), np.uint8)))
    folder = path / "labels/wildseg/0"
    meta = json.loads((folder / ".zarray").read_text())
    (folder / ".zarray").write_text(json.dumps({**meta, "compressor": compressor}))
    (folder / "0" / "0").write_bytes(chunk)
    return path


@pytest.mark.parametrize("name", ["zlib", "zstd", "lz4", "blosc"])
def test_a_zarr(tmp_path, deflated, name):
    codecs = {
        "zlib": ({"id": "zlib", "level": 1}, lambda: deflated),
        "zstd": ({"id": "zstd", "level": 1}, lambda: numcodecs.Zstd().encode(bytes(BOMB))),
        "lz4": ({"id": "lz4"}, lambda: numcodecs.LZ4().encode(bytes(BOMB))),
        "blosc": (
            {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
            lambda: numcodecs.Blosc().encode(bytes(BOMB)),
        ),
    }
    compressor, make = codecs[name]
    refused(zarr_with(tmp_path, compressor, make()))


@pytest.mark.parametrize("name", ["zlib", "zstd", "lz4"])
def test_honest_chunks_are_read(tmp_path, name):
    codec = {"zlib": numcodecs.Zlib(), "zstd": numcodecs.Zstd(), "lz4": numcodecs.LZ4()}[name]
    path = zarr_with(tmp_path, codec.get_config(), codec.encode(bytes(256)))
    assert not read_labels(path).labels.any()


@pytest.mark.parametrize("size", [0, 100, 255, 256, 257, 70_000, 5_000_000])
def test_sizes_in_headers(size):
    data = bytes(size)
    for name, codec in (("zstd", numcodecs.Zstd()), ("blosc", numcodecs.Blosc())):
        if size or name == "zstd":
            header = bytes(codec.encode(data))[:18]
            assert declared_within(name, header, size)
    large = bytes(numcodecs.Zstd().encode(bytes(BOMB)))[:18]
    assert not declared_within("zstd", large, size)


def test_small_and_damaged_pieces_are_left_to_who_reads_them():
    assert deflate_within(b"no zlib" * 100_000, 10)
    assert deflate_within(zlib.compress(bytes(1000)), 10)


def test_coco_that_paints_the_same_pixels_over_and_over(tmp_path):
    side = 14_000
    entry = {"image_id": 1, "category_id": 1, "segmentation": {"size": [side, side]}}
    entry["segmentation"]["counts"] = [0, side * side]
    content = {
        "images": [{"id": 1, "file_name": "x.png", "height": side, "width": side}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [entry] * 1000,
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="over and over"):
        read_labels(tmp_path / "x.json")
