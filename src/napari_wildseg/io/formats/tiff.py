"""TIFF for ImageJ, OME-TIFF, and reading of TIFFs of other programs."""

from __future__ import annotations

import hashlib
import io
import math
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_readable, reason
from napari_wildseg.engine.pictures.tiff_planes import check_compression
from napari_wildseg.io.atomic import atomic_write, refuse_existing
from napari_wildseg.io.description import labels_with_description
from napari_wildseg.io.formats.label_format import Format
from napari_wildseg.io.label_image import LabelImage
from napari_wildseg.io.masks.foreign import foreign_labels, refuse_value_255, upright_labels
from napari_wildseg.io.safety.bombs import deflate_within
from napari_wildseg.io.safety.json_data import dump_json, parse_json
from napari_wildseg.io.safety.sizes import check_stack

if TYPE_CHECKING:
    import tifffile

_T = TypeVar("_T")

_SIZES = {
    1e-3: "nm nanometer",
    1.0: "µm um micron micrometer",
    1e3: "mm millimeter",
    1e4: "cm centimeter",
    1e6: "m meter",
    25400.0: "inch",
}
_TO_MICROMETRES = {name: size for size, names in _SIZES.items() for name in names.split()}
_OME_UNITS = {"nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm"}
_NAMESPACE = "napari-wildseg"
_DEFLATE = (8, 32946)
# Axes of ImageJ and OME to our axes; plain TIFFs of several pages have Q or I.
_AXES = {"YX": "yx", "ZYX": "zyx", "TYX": "tyx", "TZYX": "tzyx", "QYX": "zyx", "IYX": "zyx"}


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write an 8-bit ImageJ TIFF with a lookup table; metadata are in the ``Info`` field."""
    refuse_existing([path], overwrite=overwrite)
    luts = [np.ascontiguousarray(labels.palette.T)]
    data = imagej_bytes(labels.labels, labels, labels.about(), LUTs=luts)
    atomic_write(path, data, overwrite=overwrite)
    return [path]


def imagej_bytes(
    values: NDArray[np.unsignedinteger[Any]], labels: LabelImage, about: object, **more: Any
) -> bytes:
    """Encode labels, or ids of their objects, for ImageJ; the description is in ``Info``."""
    import tifffile

    height, width = labels.scale[-2:]
    # All axes of ImageJ are given: tifffile guesses missing ones wrongly if a length is 1.
    times = values.shape[0] if "t" in labels.axes else 1
    # TIFF resolutions are 32-bit fractions; "Info" holds the exact pixel size.
    info = dump_json(about).decode("utf-8")
    metadata: dict[str, Any] = {"axes": "TZCYXS", "unit": labels.units, **more, "Info": info}
    if "z" in labels.axes:
        metadata["spacing"] = labels.scale[-3]
    if "t" in labels.axes:
        metadata["finterval"] = labels.scale[0]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        values.reshape(times, -1, 1, *values.shape[-2:], 1),
        imagej=True,
        photometric="minisblack",
        compression="zlib",
        resolution=(1 / width, 1 / height),
        resolutionunit="NONE",
        metadata=metadata,
    )
    return buffer.getvalue()


def _write_ome(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write an OME-TIFF with a colour map and physical sizes; other metadata are an annotation."""
    import tifffile

    refuse_existing([path], overwrite=overwrite)
    about = dump_json(labels.about())
    metadata: dict[str, Any] = {
        "axes": labels.axes.upper(),
        "Name": labels.image.encode("utf-8", "backslashreplace").decode() or "labels",
        "CommentAnnotation": {"Namespace": _NAMESPACE, "Value": about.decode("utf-8")},
        # OME requires a UUID per file; derived from the content, so that it is reproducible.
        "UUID": str(uuid.UUID(bytes=_digest(about, labels.labels)[:16])),
    }
    for axis, size in zip(labels.axes.upper(), labels.scale, strict=True):
        if axis == "T":
            metadata["TimeIncrement"] = size
        else:
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = _OME_UNITS.get(labels.units, "pixel")
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        labels.labels,
        ome=True,
        photometric="palette",
        colormap=np.ascontiguousarray(labels.palette.T).astype(np.uint16) * 257,
        compression="zlib",
        metadata=metadata,
    )
    atomic_write(path, buffer.getvalue(), overwrite=overwrite)
    return [path]


def read_file(path: Path, take: Callable[[tifffile.TiffFile], _T]) -> _T:
    """Return what a function takes from an open TIFF; a damaged file is an `InputError`."""
    import tifffile

    check_readable(path)
    try:
        with tifffile.TiffFile(path) as file:
            return take(file)
    except InputError:
        raise
    except Exception as error:  # tifffile raises many types for a damaged file
        raise InputError(
            f"{path.name} is not a TIFF that can be read ({reason(error)})."
        ) from error


def read(path: Path, *, value_255: str | None = None, turn: bool = True) -> LabelImage:
    """Read a TIFF written by this package, by ImageJ, an OME-TIFF or a plain TIFF.

    Several planes are read as a stack. Of other programs, the pixel size is kept.
    """

    def parts(file: tifffile.TiffFile) -> tuple[Any, ...]:
        values, axes = values_of(file, path.name)
        page = file.pages.first
        resolution = page.get_resolution() if "XResolution" in page.tags else (1.0, 1.0)
        orientation = page.tags.valueof("Orientation", 1) if turn else 1
        imagej = dict(file.imagej_metadata or {})
        return values, axes, imagej, file.ome_metadata, resolution, orientation

    values, axes, imagej, ome, resolution, orientation = read_file(path, parts)
    info = imagej.get("Info")
    if isinstance(info, str) and '"napari-wildseg labels"' in info[:200]:
        refuse_value_255(value_255, path.name)
        about = parse_json(info.encode("utf-8", "replace"), path.name)
        return upright_labels(labels_with_description(values, about, path.name), orientation)
    if ome and (comment := _comment(ome)) is not None:
        refuse_value_255(value_255, path.name)
        about = parse_json(comment, path.name)
        return upright_labels(labels_with_description(values, about, path.name), orientation)
    scale = (
        _ome_scale(ome, axes)
        if ome
        else _scale(resolution, imagej.get("unit"), imagej.get("spacing"), axes)
    )
    known = foreign_labels(values, where=path.name, value_255=value_255, axes=axes, **scale)
    return upright_labels(known, orientation)


def _digest(about: bytes, labels: NDArray[np.uint8]) -> bytes:
    digest = hashlib.sha256(about)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.digest()


def values_of(file: tifffile.TiffFile, where: str) -> tuple[NDArray[Any], str]:
    """Read the only series of a file; sizes are checked before decompression."""
    page, series = file.pages.first, file.series[0]
    letters = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if n > 1 or a in "YX"]
    axes = _AXES.get("".join(letter for letter, _ in letters))
    if page.samplesperpixel > 1 or len(file.series) > 1 or axes is None:
        raise InputError(
            f"{where} holds colours, channels or several images, not the labels of one image "
            "or stack."
        )
    shape = tuple(n for _, n in letters)
    check_stack(where, shape, series.dtype.itemsize)
    for each in series.pages:
        _check_segments(file, page if each is None else each, where)
    values = np.asarray(series.asarray()).reshape(shape)
    if page.photometric == 0 and page.bitspersample == 1:  # WhiteIsZero
        values = ~values.astype(bool)
    return values, axes


def _check_segments(file: tifffile.TiffFile, page: Any, where: str) -> None:
    """Raise `InputError` if a strip or tile decompresses to far more than it declares."""
    check_compression(file, page, where)
    page = page.aspage()
    if page.compression not in _DEFLATE:
        return
    limit = math.prod(page.chunks) * max(1, page.bitspersample // 8)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.filehandle.seek(offset)
        if not deflate_within(file.filehandle.read(count), 2 * limit):
            raise InputError(f"{where} unpacks to far more than it declares: it is not read.")


def _scale(
    resolution: tuple[float, float], unit: object, spacing: object, axes: str
) -> dict[str, Any]:
    """Return scale and units from pixels per unit; empty if the file has no unit of length."""
    per_x, per_y = resolution
    name = {"\\u00B5m": "µm", "micron": "µm"}.get(str(unit), str(unit))
    if name not in _TO_MICROMETRES or not (0 < per_x < 1e9 and 0 < per_y < 1e9):
        return {}
    factor = _TO_MICROMETRES[name]
    depth = float(spacing) if isinstance(spacing, (int, float)) and 0 < spacing < 1e9 else 1.0
    sizes = {"y": factor / per_y, "x": factor / per_x, "z": factor * depth}
    return {"scale": tuple(sizes.get(axis, 1.0) for axis in axes), "units": "micrometer"}


def _ome_scale(xml: str, axes: str) -> dict[str, Any]:
    """Return scale (in micrometres) and units from OME-XML; empty if it has no pixel size."""
    import re

    sizes = []
    for axis in axes.upper():
        size = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]{{1,30}})"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]{{1,20}})"', xml)
        factor = _TO_MICROMETRES.get(unit[1] if unit else "µm")
        try:
            value = float(size[1]) if size else 0.0
        except ValueError:
            value = 0.0
        if axis in "YX" and (factor is None or not 0 < value < 1e9):
            return {}
        sizes.append(value * factor if factor is not None and 0 < value < 1e9 else 1.0)
    return {"scale": tuple(sizes), "units": "micrometer"}


def _comment(xml: str) -> bytes | None:
    """Return the description that `_write_ome` puts into OME-XML; None if there is none."""
    from xml.etree import ElementTree

    if f'Namespace="{_NAMESPACE}"' not in xml or "<!" in xml:  # refuses entities and document types
        return None
    schema = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise InputError(f"Its OME-XML is damaged ({reason(error)}).") from error
    for node in root.iter(f"{schema}CommentAnnotation"):
        value = node.find(f"{schema}Value")
        if node.get("Namespace") == _NAMESPACE and value is not None:
            return (value.text or "").encode("utf-8", "replace")
    return None


OME_TIFF_FORMAT = Format(
    "ome-tiff", "OME-TIFF", (".ome.tif", ".ome.tiff"), read, _write_ome, stacks=True, masks=True
)
TIFF_FORMAT = Format(
    "tif", "TIFF for ImageJ", (".tif", ".tiff"), read, write, stacks=True, masks=True
)
