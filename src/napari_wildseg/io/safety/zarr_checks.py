"""Checks of zarr metadata and chunks from untrusted files, before zarr opens them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import MAX_PIXELS
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.safety.bombs import MAX_UNCHECKED_BYTES, declared_within, deflate_within
from napari_wildseg.io.safety.sizes import check_stack

# Decoding these executes no code of the file. Other codecs, such as pickle, are refused.
_PACKED = {"blosc", "zstd", "lz4", "gzip", "zlib"}
_CODECS = _PACKED | {"bytes", "crc32c", "transpose", None}
_BITS = (8, 16, 32, 64)
_TYPES = {f"{sign}int{bits}" for sign in ("", "u") for bits in _BITS} | {"bool"}
_FLOATS = {"float16", "float32", "float64"}
_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
_MAX_CHUNKS = 1_000_000
"""Largest number of chunks; each may be a file that is opened."""


@dataclass(frozen=True)
class _Array:
    """Metadata of an array."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]  # shape of the pieces that are decompressed one by one
    codecs: set[str | None]
    itemsize: int
    shard: tuple[int, ...] | None = None  # shape of a file that holds several chunks
    index_first: bool = False
    checksum: int = 0  # bytes after the index


def check_array(folder: Path, where: str, *, picture: bool = False) -> None:
    """Raise `InputError` unless an array has an allowed dtype, codec and size."""
    wanted = "picture that can be opened" if picture else "labels"
    wrong = InputError(f"{where} holds no {wanted}, or unusual ones.")
    if (folder / ".zarray").is_file():
        found = _version_2(read_json(folder / ".zarray"), wrong)
    elif (folder / "zarr.json").is_file():
        found = _version_3(read_json(folder / "zarr.json"), wrong)
    else:
        raise wrong
    if not found.codecs <= _CODECS or len(found.chunks) != len(found.shape):
        raise wrong
    if found.itemsize < 0 and not picture:
        raise wrong  # floats
    itemsize = abs(found.itemsize)
    if not picture:
        check_stack(where, found.shape, itemsize)
    if math.prod(found.shard or found.chunks) * itemsize > 4 * MAX_PIXELS:
        raise wrong
    pieces = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
    if pieces > _MAX_CHUNKS:
        raise InputError(
            f"{where} is cut into {pieces:,} pieces of {' x '.join(map(str, found.chunks))}: save "
            f"it in larger ones, at most {_MAX_CHUNKS:,}."
        )
    _check_chunks(folder, found, math.prod(found.chunks) * itemsize, where)


def _version_2(meta: object, wrong: InputError) -> _Array:
    if not isinstance(meta, dict) or meta.get("filters"):
        raise wrong
    compressor = meta.get("compressor") or {"id": None}
    codec = compressor.get("id") if isinstance(compressor, dict) else ""
    dtype = str(meta.get("dtype"))
    if len(dtype) != 3 or dtype[1] not in "biuf" or dtype[2] not in "1248":
        raise wrong
    return _Array(
        _lengths(meta.get("shape"), wrong),
        _lengths(meta.get("chunks"), wrong),
        {codec if isinstance(codec, str | None) else ""},
        int(dtype[2]) * (-1 if dtype[1] == "f" else 1),
    )


def _version_3(meta: object, wrong: InputError) -> _Array:
    kind = meta.get("data_type") if isinstance(meta, dict) else None
    try:
        chunks = meta["chunk_grid"]["configuration"]["chunk_shape"]  # type: ignore[index]
        codecs = meta["codecs"]  # type: ignore[index]
        shard, first, checksum = None, False, 0
        if codecs[0]["name"] == "sharding_indexed" and len(codecs) == 1:
            inner = codecs[0]["configuration"]
            shard, chunks, codecs = _lengths(chunks, wrong), inner["chunk_shape"], inner["codecs"]
            first = inner.get("index_location", "end") == "start"
            index = [codec["name"] for codec in inner["index_codecs"]]
            if index not in (["bytes", "crc32c"], ["bytes"]):
                raise wrong
            checksum = 4 * (len(index) - 1)
        names = {str(codec["name"]) for codec in codecs}
    except (KeyError, TypeError, IndexError, AttributeError):
        raise wrong from None
    if not isinstance(kind, str) or kind not in _TYPES | _FLOATS:
        raise wrong
    size = np.dtype(kind).itemsize * (-1 if kind in _FLOATS else 1)
    shape, pieces = _lengths(meta.get("shape"), wrong), _lengths(chunks, wrong)  # type: ignore[attr-defined]
    if shard is not None:
        fits = len(shard) == len(pieces) and all(s % c == 0 for s, c in zip(shard, pieces))  # noqa: B905
        if not fits:
            raise wrong
    return _Array(shape, pieces, {*names}, size, shard, first, checksum)


def _lengths(numbers: object, wrong: InputError) -> tuple[int, ...]:
    """Return the lengths of two to five axes; raise ``wrong`` if they are not positive integers."""
    usable = isinstance(numbers, list) and 2 <= len(numbers) <= 5
    if not usable or not all(type(n) is int and n > 0 for n in numbers):  # type: ignore[attr-defined]
        raise wrong
    return tuple(numbers)  # type: ignore[arg-type]


def _check_chunks(folder: Path, array: _Array, limit: int, where: str) -> None:
    """Raise `InputError` for entries that are not files, and for decompression bombs."""
    bomb = InputError(f"{where} unpacks to far more than it declares: it is not read.")
    packed = array.codecs & _PACKED
    for file in folder.rglob("*"):
        if file.is_dir() or file.name in _METADATA:
            continue
        if not file.is_file():  # reading a pipe would block
            raise InputError(f"{where}: {file.name} in it is no file.")
        if not packed:
            continue
        with file.open("rb") as stream:
            size = file.stat().st_size
            for start, length in _pieces(stream, size, array):
                stream.seek(start)
                for codec in packed:
                    if codec in ("gzip", "zlib"):
                        small = length * 1032 <= MAX_UNCHECKED_BYTES
                        fine = small or deflate_within(stream.read(length), 2 * limit)
                    else:
                        fine = declared_within(str(codec), stream.read(min(length, 18)), 2 * limit)
                    if not fine:
                        raise bomb


def _pieces(stream: BinaryIO, size: int, array: _Array) -> list[tuple[int, int]]:
    """Return offsets and lengths of the compressed chunks in a file."""
    if array.shard is None:
        return [(0, size)]
    count = math.prod(s // c for s, c in zip(array.shard, array.chunks, strict=True))
    stream.seek(0 if array.index_first else max(0, size - 16 * count - array.checksum))
    index = stream.read(16 * count)
    pairs = np.frombuffer(index[: len(index) // 16 * 16], "<u8").reshape(-1, 2)
    inside = (pairs[:, 0] < size) & (pairs[:, 1] <= size)  # an empty piece has all bits set
    return [(int(start), int(length)) for start, length in pairs[inside]]
