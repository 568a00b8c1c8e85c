"""What a zarr array of an untrusted file declares, checked before zarr looks at it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import MAX_PIXELS
from napari_wildseg.io.bombs import HARMLESS, declared_within, deflate_within
from napari_wildseg.io.formats.png import read_json
from napari_wildseg.io.sizes import check_stack

# Decoding these runs no code of the file's. Others (pickle among them) are refused.
_CODECS = {"blosc", "zstd", "lz4", "gzip", "zlib", "bytes", "crc32c", "transpose", None}
_TYPES = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"bool"}


def check_array(folder: Path, where: str) -> None:
    """Raise `InputError` unless an array is plain integers of a size that can be taken.

    Parameters
    ----------
    folder : Path
        The array's folder, of zarr 2 or 3.
    where : str
        The file, for messages.
    """
    wrong = InputError(f"{where} holds no labels, or unusual ones.")
    if (folder / ".zarray").is_file():
        shape, chunks, codecs, itemsize = _version_2(read_json(folder / ".zarray"), wrong)
    elif (folder / "zarr.json").is_file():
        shape, chunks, codecs, itemsize = _version_3(read_json(folder / "zarr.json"), wrong)
    else:
        raise wrong
    if not all(codec in _CODECS for codec in codecs) or len(chunks) != len(shape):
        raise wrong
    check_stack(where, shape, itemsize)
    if math.prod(chunks) > MAX_PIXELS:
        raise wrong
    _check_chunks(folder, set(codecs), math.prod(chunks) * itemsize, where)


def _version_2(meta: object, wrong: InputError) -> Any:
    if not isinstance(meta, dict) or meta.get("filters"):
        raise wrong
    compressor = meta.get("compressor") or {"id": None}
    codec = compressor.get("id") if isinstance(compressor, dict) else ""
    dtype = str(meta.get("dtype"))
    if len(dtype) != 3 or dtype[1] not in "biu" or dtype[2] not in "1248":
        raise wrong
    return (
        _whole(meta.get("shape"), wrong),
        _whole(meta.get("chunks"), wrong),
        [codec],
        int(dtype[2]),
    )


def _version_3(meta: object, wrong: InputError) -> Any:
    if not isinstance(meta, dict) or not isinstance(meta.get("codecs"), list):
        raise wrong
    codecs = [c.get("name") if isinstance(c, dict) else "" for c in meta["codecs"]]
    kind = meta.get("data_type")
    try:
        chunks = meta["chunk_grid"]["configuration"]["chunk_shape"]
    except (KeyError, TypeError):
        raise wrong from None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise wrong
    return _whole(meta.get("shape"), wrong), _whole(chunks, wrong), codecs, np.dtype(kind).itemsize


def _whole(numbers: object, wrong: InputError) -> tuple[int, ...]:
    """Check the lengths of two to five axes."""
    usable = isinstance(numbers, list) and 2 <= len(numbers) <= 5
    if not usable or not all(type(n) is int and n > 0 for n in numbers):  # type: ignore[attr-defined]
        raise wrong
    return tuple(numbers)  # type: ignore[arg-type]


def _check_chunks(folder: Path, codecs: set[str | None], limit: int, where: str) -> None:
    """Refuse chunks that unpack to far more than a chunk has."""
    bomb = InputError(f"{where} unpacks to far more than it declares: it is not read.")
    for codec in codecs & {"blosc", "zstd", "lz4", "gzip", "zlib"}:
        for file in folder.rglob("*"):
            if not file.is_file() or file.name in (".zarray", ".zattrs", "zarr.json"):
                continue
            with file.open("rb") as stream:
                if codec in ("gzip", "zlib"):
                    small = file.stat().st_size * 1032 <= HARMLESS
                    fine = small or deflate_within(stream.read(), 2 * limit)
                else:
                    fine = declared_within(str(codec), stream.read(18), 2 * limit)
            if not fine:
                raise bomb
