"""NPZ archives without pickle: arrays and a JSON description; every value is checked."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import MAX_PIXELS, check_readable, reason
from napari_wildseg.io.atomic import atomic_path
from napari_wildseg.io.safety.json_data import MAX_JSON, dump_json, parse_json
from napari_wildseg.io.safety.sizes import MAX_STACK_BYTES

_ABOUT = "about.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed time stamp: the same content gives the same bytes


class ArraySpec(NamedTuple):
    """Allowed dtype and size of an array in an archive."""

    kinds: str  # allowed ``dtype.kind`` letters
    dimensions: tuple[int, int]  # smallest and largest number of axes
    limit: int = MAX_STACK_BYTES  # largest size in bytes, decompressed


def write_npz(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    about: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays and a description, atomically."""
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(_member(_ABOUT), dump_json(dict(about)))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(_member(f"{name}.npy"), buffer.getbuffer())


def read_npz(path: Path, allowed: Mapping[str, ArraySpec]) -> tuple[dict[str, NDArray[Any]], Any]:
    """Read allowed arrays and the description from an untrusted file."""
    check_readable(path)
    arrays: dict[str, NDArray[Any]] = {}
    about = None
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()[:1000]}
            if _ABOUT in members:
                if members[_ABOUT].file_size > MAX_JSON:
                    raise InputError(f"{path.name}: its description is too long.")
                about = parse_json(archive.read(members[_ABOUT]), path.name)
            for name, spec in allowed.items():
                info = members.get(f"{name}.npy")
                if info is not None:
                    arrays[name] = _array(archive, info, spec, path.name)
    except InputError:
        raise
    except Exception as error:  # many types for a damaged file
        raise InputError(
            f"{path.name} is damaged, or not of this format ({reason(error)})."
        ) from error
    return arrays, about


def checked_corrections_of(
    arrays: dict[str, NDArray[Any]], where: str, name: str = "corrections"
) -> NDArray[np.int16] | None:
    """Return the corrections of an archive as int16, checked; None if it has none."""
    corrections = arrays.get(name)
    if corrections is None:
        return None
    if corrections.min() < -1 or corrections.max() > MAX_CLASSES:
        raise InputError(f"{where}: its corrections are not -1 or labels.")
    return corrections.astype(np.int16)


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, spec: ArraySpec, where: str
) -> NDArray[Any]:
    """Read one array; the header is checked before the data are decompressed."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise InputError(f"{where}: {info.filename} is of an unknown version.")
        shape, fortran, dtype = read_header(file)
        size = 1
        for n in shape:
            size *= int(n)
        if (
            dtype.kind not in spec.kinds
            or dtype.hasobject
            or not (spec.dimensions[0] <= len(shape) <= spec.dimensions[1])
        ):
            raise InputError(f"{where}: {info.filename} is not the array it should be.")
        wanted = size * dtype.itemsize
        if not 0 < wanted <= spec.limit or int(shape[-1]) * int(shape[-2]) > MAX_PIXELS:
            raise InputError(f"{where}: {info.filename} has {size} elements, too many or none.")
        data = file.read(wanted + 1)
        if len(data) != wanted:
            raise InputError(f"{where}: {info.filename} is cut short, or longer than it says.")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array.astype(dtype.newbyteorder("=")))


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
