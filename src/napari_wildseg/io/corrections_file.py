"""An annotator's corrections in a file: 16-bit PNG or ``.npy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import MAX_PIXELS, check_readable, reason
from napari_wildseg.io.atomic import atomic_path
from napari_wildseg.io.formats.png import decode
from napari_wildseg.io.label_image import check_corrections

NOT_CORRECTED = 65535
"""Stands for -1 in a 16-bit PNG."""


def read_corrections(path: str | Path, shape: tuple[int, int]) -> NDArray[np.int16]:
    """Read corrections.

    Parameters
    ----------
    path : str or Path
        A 16-bit PNG (65535: not corrected), or an ``.npy`` of integers (-1: not corrected).
    shape : tuple of int
        Shape of the labels they are for.

    Returns
    -------
    ndarray
        ``shape`` int16, -1 or 0 to 254.

    Raises
    ------
    InputError
        If the file is missing or damaged, of another shape, or holds other values.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        values = _read_npy(path)
    else:
        values = decode(path)[0].astype(np.int64)
        values[values == NOT_CORRECTED] = -1
    if values.shape != shape:
        raise InputError(
            f"{path.name} has shape {values.shape}, the labels {shape}: "
            "give the corrections of this image."
        )
    if int(values.min()) < -1 or int(values.max()) > MAX_CLASSES:
        raise InputError(
            f"{path.name} holds values from {values.min()} to {values.max()}; corrections are "
            f"0 to {MAX_CLASSES}, and 65535 (PNG) or -1 (npy) where nothing was corrected."
        )
    return values.astype(np.int16)


def write_corrections(
    path: str | Path, corrections: NDArray[np.int16], *, overwrite: bool = False
) -> None:
    """Write corrections as a 16-bit PNG or ``.npy``, as the ending says.

    Parameters
    ----------
    path : str or Path
        Where.
    corrections : ndarray
        ``(H, W)`` int16.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If a value is neither -1 nor a label from 0 to 254, or the file may not be replaced.
    """
    from PIL import Image

    check_corrections(corrections)

    with atomic_path(path, overwrite=overwrite) as temporary:
        if Path(path).suffix.lower() == ".npy":
            np.save(temporary, corrections, allow_pickle=False)
        else:
            values = np.where(corrections < 0, NOT_CORRECTED, corrections).astype(np.uint16)
            Image.fromarray(values).save(temporary, format="PNG")


def _read_npy(path: Path) -> NDArray[np.int64]:
    check_readable(path)
    try:
        # Mapped, so that a header that promises too much costs nothing.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "iu":
            raise InputError(f"{path.name} does not hold an array of integers.")
        if mapped.ndim != 2 or not 0 < mapped.size <= MAX_PIXELS:
            raise InputError(f"{path.name} does not hold one (H, W) array.")
        return np.array(mapped).astype(np.int64)
    except InputError:
        raise
    except Exception as error:  # numpy raises what the damage happens to run into
        raise InputError(
            f"{path.name} is not an .npy that can be read ({reason(error)})."
        ) from error
