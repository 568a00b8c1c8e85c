"""Files that unpack to far more than they declare are not unpacked."""

from __future__ import annotations

import json
import os
import tracemalloc
import zlib

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import read_picture
from napari_wildseg.io import LabelImage, read_labels, write_labels
from napari_wildseg.io.lazy import open_lazily
from napari_wildseg.io.safety.bombs import declared_within, deflate_within
from napari_wildseg.io.safety.zarr_checks import check_array

BOMB = 300_000_000


@pytest.fixture(scope="module")
def deflated():
    return zlib.compress(bytes(BOMB), 9)


def refused(path, sentence="far more", most=100_000_000):
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=sentence):
            read_labels(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most


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


def polygons(path, height, width, *outlines):
    entries = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": outline}
        for n, outline in enumerate(outlines, start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "x.png", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": entries,
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("height", "width"), [(200_000_000, 1), (1, 200_000_000), (14_000, 14_000)]
)
@pytest.mark.parametrize("corners", [500, 5000])
def test_coco_outlines_are_measured_before_they_are_drawn(tmp_path, height, width, corners):
    """Zig-zags far outside a legal image would make the mask library take all memory."""
    far = 4 * max(height, width)
    zigzag = [
        value for n in range(corners) for value in ((-far if n % 2 else far), n % max(1, height))
    ]
    path = polygons(tmp_path / "x.json", height, width, [zigzag])
    refused(path, "outline|far outside", most=300_000_000)


def test_coco_outlines_of_many_annotations_add_up(tmp_path):
    """Each is short enough, all of them are not."""
    zigzag = [value for n in range(60) for value in ((0 if n % 2 else 60_000), n)]
    path = polygons(tmp_path / "x.json", 100, 60_000, *[[zigzag]] * 60)
    refused(path, "over and over")


def test_coco_of_very_many_small_polygons_is_read_in_time(tmp_path):
    """Polygons are merged in a tree: one by one, time would grow with their square."""
    small = [[x, y, x + 1, y, x + 1, y + 1] for x in range(0, 400, 2) for y in range(0, 400, 4)]
    path = polygons(tmp_path / "x.json", 400, 400, small)
    assert read_labels(path).labels.shape == (400, 400)


def test_evaluation_measures_outlines_too(tmp_path):
    """The other reader of COCO draws no endless outline either."""
    from napari_wildseg.evaluation.published import _COCOItem

    zigzag = [value for n in range(5000) for value in ((-400_000 if n % 2 else 400_000), 0)]
    instances = ((1, {"id": 4, "segmentation": [zigzag]}),)
    item = _COCOItem("a", tmp_path, tmp_path, {1: "cat"}, (1000, 100_000), instances)
    with pytest.raises(InputError, match="over and over"):
        item.mask()


def array_of(folder, shape, chunks, **more):
    folder.mkdir(parents=True)
    meta = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": "|u1",
        "compressor": None,
        "filters": None,
        "fill_value": 0,
        "order": "C",
    }
    (folder / ".zarray").write_text(json.dumps(meta | more))
    return folder


@pytest.mark.parametrize("chunks", [[1, 1], [1, 4]])
def test_a_zarr_of_tiny_chunks(tmp_path, chunks):
    """A piece a pixel would take hours; it is said before the first is opened."""
    folder = array_of(tmp_path / "a.zarr", [10_000, 10_000], chunks)
    with pytest.raises(InputError, match="pieces of 1 x"):
        open_lazily(folder)
    with pytest.raises(InputError, match="pieces of 1 x"):
        check_array(folder, "a.zarr")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("picture", [False, True])
def test_a_pipe_in_place_of_a_chunk(tmp_path, picture):
    """Nobody waits for a pipe that nobody writes to."""
    folder = array_of(tmp_path / "a.zarr", [16, 16], [16, 16])
    os.mkfifo(folder / "0.0")
    with pytest.raises(InputError, match=r"0\.0 in it is no file"):
        open_lazily(folder) if picture else check_array(folder, "a.zarr")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npz", "a.txt", "a.json", "a.wildseg"])
def test_a_pipe_in_place_of_a_file(tmp_path, name):
    """Nor where a file is expected."""
    os.mkfifo(tmp_path / name)
    for read in (read_labels, read_picture):
        with pytest.raises(InputError, match=r"no file|not a file|cannot be read|pipe"):
            read(tmp_path / name)


@pytest.mark.parametrize("picture", [False, True])
def test_codecs_that_run_code_are_refused_unread(tmp_path, picture):
    """A pickle in a chunk is not unpickled, in labels and in pictures."""
    for more in ({"filters": [{"id": "pickle"}], "dtype": "|O"}, {"compressor": {"id": "pickle"}}):
        folder = array_of(tmp_path / f"{len(str(more))}.zarr", [16, 16], [16, 16], **more)
        with pytest.raises(InputError, match="unusual"):
            open_lazily(folder) if picture else check_array(folder, "a.zarr")


@pytest.mark.parametrize("where", ["start", "end"])
def test_a_shard_that_unpacks_to_far_more(tmp_path, where):
    """The pieces of a shard are looked at one by one."""
    from zarr.codecs import ShardingCodec

    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=(16, 16),
        dtype=np.uint8,
        chunks=(16, 16),
        serializer=ShardingCodec(chunk_shape=(8, 8), index_location=where),
        compressors=None,
    )
    array[...] = 1
    meta = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    inner = meta["codecs"][0]["configuration"]["codecs"]
    inner.append({"name": "zstd", "configuration": {"level": 0, "checksum": False}})
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps(meta))
    piece = bytes(numcodecs.Zstd().encode(bytes(BOMB)))
    at = 16 * 4 + 4 if where == "start" else 0
    index = np.array([[at, len(piece)], *[[2**64 - 1] * 2] * 3], np.uint64)
    index_bytes = index.astype("<u8").tobytes() + bytes(4)
    data = index_bytes + piece if where == "start" else piece + index_bytes
    (tmp_path / "a.zarr/c/0/0").write_bytes(data)
    with pytest.raises(InputError, match="far more"):
        open_lazily(tmp_path / "a.zarr")
