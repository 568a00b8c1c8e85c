"""Lazy opening of large pictures and stacks: zarr, OME-Zarr and TIFF."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_readable, reason
from napari_wildseg.engine.pictures.tiff_planes import (
    ConvertedArray,
    check_compression,
    tiff_layout,
)
from napari_wildseg.io.formats.ngff import attributes_of, plain_path, scale_and_translation
from napari_wildseg.io.safety.zarr_checks import check_array

_MAX_SIDE = 200_000
"""The longest side that is opened, in pixels."""


@dataclass(frozen=True)
class LazyPicture:
    """A picture or stack whose pixels are read from disk on access."""

    levels: tuple[Any, ...]  # sliceable arrays with the same axes, the finest first
    axes: str  # one letter per axis: ``y``, ``x``, ``c`` for colour channels, others for planes
    scale: tuple[float, float] = (1.0, 1.0)  # height and width of a pixel, in ``units``
    units: str = "pixel"  # ``"pixel"`` or a unit of length
    files: tuple[Any, ...] = ()  # closed by `close`

    def close(self) -> None:
        """Close the files; the levels can no longer be read."""
        for file in self.files:
            file.close()

    def __enter__(self) -> LazyPicture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)``."""
        shape = self.levels[0].shape
        return int(shape[self.axes.index("y")]), int(shape[self.axes.index("x")])

    @property
    def planes(self) -> int:
        """Number of planes; 1 for a picture."""
        shape = self.levels[0].shape
        return int(
            np.prod([n for n, axis in zip(shape, self.axes, strict=True) if axis not in "yxc"])
        )

    @property
    def channel_axis(self) -> int:
        """Channel axis of one plane: 0 if it is before ``y``, else -1 (also without channels)."""
        return 0 if "c" in self.axes and self.axes.index("c") < self.axes.index("y") else -1

    def plane(self, number: int) -> tuple[Any, ...]:
        """Return the levels of one plane as lazy arrays."""
        others = [i for i, axis in enumerate(self.axes) if axis not in "yxc"]
        shape = [int(self.levels[0].shape[i]) for i in others]
        index = np.unravel_index(number, shape) if shape else ()
        fixed = dict(zip(others, (int(i) for i in index), strict=True))
        return tuple(_Plane(level, fixed) for level in self.levels) if fixed else self.levels

    def single(self, number: int) -> LazyPicture:
        """Return one plane as a lazy picture; closing it closes the files of all planes."""
        if number >= self.planes:
            raise InputError(f"There are {self.planes} planes; there is no plane {number}.")
        axes = "".join(axis for axis in self.axes if axis in "yxc")
        return replace(self, levels=self.plane(number), axes=axes)


class _Plane:
    """An array with some axes fixed at an index; sliced along the other axes."""

    def __init__(self, array: Any, fixed: dict[int, int]) -> None:
        self._array, self._fixed = array, fixed
        self.shape = tuple(int(n) for i, n in enumerate(array.shape) if i not in fixed)
        self.dtype = array.dtype

    def __getitem__(self, key: Any) -> Any:
        inside = iter(key if isinstance(key, tuple) else (key,))
        whole = tuple(
            self._fixed[i] if i in self._fixed else next(inside, slice(None))
            for i in range(len(self._array.shape))
        )
        return self._array[whole]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[()], dtype=dtype)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group, of version 2 or 3."""
    return any((path / name).is_file() for name in (".zarray", ".zgroup", "zarr.json"))


def open_lazily(path: str | Path) -> LazyPicture:
    """Open a picture without reading its pixels."""
    path = Path(path)
    if path.is_dir():
        return _open_zarr(path)
    check_readable(path)
    return _open_tiff(path)


def _open_zarr(path: Path) -> LazyPicture:
    import zarr

    try:
        if not (attributes := attributes_of(path)).get("multiscales"):
            check_array(path, path.name, picture=True)
            array = zarr.open_array(path, mode="r")
            return _checked(path, (array,), _guess_axes(array.shape))
        multiscales = attributes["multiscales"][0]
        datasets = multiscales["datasets"]
        folders = [path / plain_path(entry["path"], path.name) for entry in datasets]
        for folder in folders:
            check_array(folder, path.name, picture=True)
        levels = tuple(zarr.open_array(folder, mode="r") for folder in folders)
        axes = "".join(_letter(axis) for axis in multiscales.get("axes", ()))
        place = scale_and_translation(multiscales, datasets[0], levels[0].ndim)
    except InputError:
        raise
    except Exception as error:  # zarr raises many types for damaged metadata
        raise InputError(
            f"{path.name} holds no picture that can be opened ({reason(error)}): give a zarr "
            "array of (H, W) or (H, W, 3), or an OME-Zarr image."
        ) from error
    axes = axes if len(axes) == levels[0].ndim else _guess_axes(levels[0].shape)
    if "c" in axes and levels[0].shape[axes.index("c")] != 3:
        axes = axes.replace("c", "p", 1)  # microscope channels are treated as planes
    about: dict[str, Any] = {}
    units = [a.get("unit") for a in multiscales.get("axes", ()) if isinstance(a, dict)]
    if place is not None:
        about["scale"] = (place[0][axes.index("y")], place[0][axes.index("x")])
        about["units"] = str(units[-1]) if units and units[-1] else "pixel"
    return _checked(path, levels, axes, **about)


def _letter(axis: Any) -> str:
    name = axis.get("name", "?") if isinstance(axis, dict) else str(axis)
    return str(name)[:1].lower()


def _guess_axes(shape: tuple[int, ...]) -> str:
    """Guess the axes of an array without axis names, from its shape."""
    if len(shape) > 2 and shape[-1] in (1, 3, 4):
        return {3: "yxc", 4: "tyxc"}.get(len(shape), "?")
    if len(shape) > 2 and shape[-1] < 8 < shape[-2]:  # spectral bands, not columns
        return "?"
    return {2: "yx", 3: "tyx"}.get(len(shape), "?")


def _open_tiff(path: Path) -> LazyPicture:
    import tifffile
    import zarr

    files: tuple[Any, ...] = ()
    try:
        with tifffile.TiffFile(path) as file:
            layout = tiff_layout(file, path.name)
            if layout.orientation != 1:
                raise InputError(
                    f"{path.name} is stored turned or mirrored: save it upright to open it lazily."
                )
            series = layout.series
            number = file.series.index(series)
            same = [i for i, level in enumerate(series.levels) if level.axes == series.axes]
            for i in same[1:]:
                check_compression(file, series.levels[i].keyframe, path.name)
            memory = _mapped(file, series)
        if memory is not None:
            levels: tuple[Any, ...] = (memory,)
        else:
            files = tuple(tifffile.imread(path, aszarr=True, series=number, level=i) for i in same)
            levels = tuple(zarr.open(store, mode="r") for store in files)
        levels = tuple(_without_ones(level, series.axes) for level in levels)
        axes = layout.axes
        apart = axes.find("c") not in (-1, axes.index("y") - 1, axes.index("x") + 1)
        if layout.convert is not None or apart:
            levels = tuple(ConvertedArray(level, axes, layout) for level in levels)
            axes = levels[0].axes
        return _checked(path, levels, axes, files=files)
    except InputError:
        for file in files:
            file.close()
        raise
    except Exception as error:  # tifffile raises many types for a damaged file
        raise InputError(
            f"{path.name} is not a TIFF that can be opened ({reason(error)}): "
            "convert it to a plain TIFF or zarr."
        ) from error


def _without_ones(level: Any, axes: str) -> Any:
    """Drop axes of length one, except rows and columns."""
    gone = [i for i, n in enumerate(level.shape) if n == 1 and axes[i] not in "YX"]
    return _Plane(level, dict.fromkeys(gone, 0)) if gone else level


def _mapped(file: Any, series: Any) -> Any:
    """Memory-map an uncompressed TIFF of one level; None if that is not possible."""
    if len(series.levels) > 1:
        return None
    try:
        return series.asarray(out="memmap") if series.dataoffset is not None else None
    except ValueError:
        return None


def _checked(path: Path, levels: tuple[Any, ...], axes: str, **about: Any) -> LazyPicture:
    shape = tuple(int(n) for n in levels[0].shape)
    if len(axes) != len(shape) or axes.count("y") != 1 or axes.count("x") != 1:
        raise InputError(
            f"{path.name} has axes of lengths {shape}, which do not name one row and one column "
            "axis: give (H, W), (H, W, 3) or a stack of them."
        )
    # Axes of length one are dropped; channels other than grey, RGB and RGBA become planes.
    gone = [i for i, n in enumerate(shape) if n == 1 and axes[i] not in "yx"]
    kept = "".join(axis for i, axis in enumerate(axes) if i not in gone)
    if gone:
        fixed = dict.fromkeys(gone, 0)
        levels = tuple(_Plane(level, fixed) for level in levels)
    shape = tuple(int(n) for n in levels[0].shape)
    axes = kept
    if axes.count("c") > 1:
        raise InputError(f"{path.name} has several channel axes: give one image at a time.")
    if "c" in axes and shape[axes.index("c")] not in (3, 4):
        axes = axes.replace("c", "p")
    y, x = axes.index("y"), axes.index("x")
    beside = axes[min(y, x) : max(y, x) + 1]
    if beside not in ("yx",) or ("c" in axes and axes.index("c") not in (y - 1, x + 1)):
        raise InputError(
            f"{path.name} has its axes in the order {axes}: store rows, columns and colours "
            "side by side, as (..., H, W) or (..., H, W, 3)."
        )
    if max(shape[y], shape[x]) > _MAX_SIDE:
        raise InputError(
            f"{path.name} is {shape[x]} x {shape[y]} pixels; sides up to {_MAX_SIDE} can be used."
        )
    return LazyPicture(levels, axes, **about)
