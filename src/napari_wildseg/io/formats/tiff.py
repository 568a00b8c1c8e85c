"""TIFF as ImageJ reads it: colours, pixel size, and all else as text in the ``Info`` field."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import check_readable, check_size, reason
from napari_wildseg.io.atomic import atomic_write, refuse_existing
from napari_wildseg.io.formats.base import Format
from napari_wildseg.io.label_image import (
    LabelImage,
    about_from_json,
    dump_json,
    parse_json,
)

_TO_MICROMETRES = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
}


def write(path: Path, labels: LabelImage, *, overwrite: bool = False) -> list[Path]:
    """Write an 8-bit ImageJ TIFF with a lookup table.

    Parameters
    ----------
    path : Path
        The TIFF.
    labels : LabelImage
        What to write. Corrections are not kept by this format.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    list of Path
        The file.
    """
    import tifffile

    refuse_existing([path], overwrite=overwrite)
    height, width = labels.scale
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        labels.labels,
        imagej=True,
        photometric="minisblack",
        compression="zlib",
        resolution=(1 / width, 1 / height),
        resolutionunit="NONE",
        metadata={
            "axes": "YX",
            "unit": labels.units,
            "LUTs": [np.ascontiguousarray(labels.palette.T)],
            # Resolutions are fractions of 32-bit numbers; the exact pixel size is in here.
            "Info": dump_json(labels.about()).decode("utf-8"),
        },
    )
    atomic_write(path, buffer.getvalue(), overwrite=overwrite)
    return [path]


def read(path: Path) -> LabelImage:
    """Read a TIFF of ours, of ImageJ, an OME-TIFF or a plain one.

    Parameters
    ----------
    path : Path
        The TIFF.

    Returns
    -------
    LabelImage
        Of other programs' files, the pixel size is kept, and classes are called ``class N``.

    Raises
    ------
    InputError
        If it is damaged, too large, holds several planes, or no labels.
    """
    import tifffile

    check_readable(path)
    try:
        with tifffile.TiffFile(path) as file:
            page, series = file.pages.first, file.series[0]
            shape = tuple(n for n in series.shape if n > 1)
            if page.samplesperpixel > 1 or len(file.series) > 1 or len(shape) > 2:
                raise InputError(
                    f"{path.name} holds colours or several planes, not the labels of one image."
                )
            check_size(path.name, page.imagewidth, page.imagelength)
            values = np.asarray(series.asarray()).reshape(page.imagelength, page.imagewidth)
            imagej = dict(file.imagej_metadata or {})
            ome = file.ome_metadata
            if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and page.bitspersample == 1:
                values = ~values.astype(bool)
            resolution = page.get_resolution() if "XResolution" in page.tags else (1.0, 1.0)
    except InputError:
        raise
    except Exception as error:  # tifffile raises what the damage happens to run into
        raise InputError(
            f"{path.name} is not a TIFF that can be read ({reason(error)})."
        ) from error
    info = imagej.get("Info")
    if isinstance(info, str) and '"napari-wildseg labels"' in info[:200]:
        about = parse_json(info.encode("utf-8", "replace"), path.name)
        return LabelImage.from_array(values, **about_from_json(about, path.name, values.shape))
    about = _ome_scale(ome) if ome else _scale(resolution, imagej.get("unit"))
    return LabelImage.from_array(values, **about)


def _scale(resolution: tuple[float, float], unit: object) -> dict[str, Any]:
    """Pixel size from pixels per unit; nothing where no unit of length is told."""
    per_x, per_y = resolution
    name = {"\\u00B5m": "µm", "micron": "µm"}.get(str(unit), str(unit))
    if name not in _TO_MICROMETRES or not (0 < per_x < 1e9 and 0 < per_y < 1e9):
        return {}
    factor = _TO_MICROMETRES[name]
    return {"scale": (factor / per_y, factor / per_x), "units": "micrometer"}


def _ome_scale(xml: str) -> dict[str, Any]:
    """Pixel size from OME-XML, in micrometres."""
    import re

    sizes = []
    for axis in "YX":
        size = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]{{1,30}})"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]{{1,20}})"', xml)
        factor = _TO_MICROMETRES.get(unit[1] if unit else "µm")
        try:
            value = float(size[1]) if size else 0.0
        except ValueError:
            value = 0.0
        if factor is None or not 0 < value < 1e9:
            return {}
        sizes.append(value * factor)
    return {"scale": (sizes[0], sizes[1]), "units": "micrometer"}


FORMAT = Format(
    "tif", "TIFF for ImageJ, with pixel size and colours", (".tif", ".tiff"), read, write
)
