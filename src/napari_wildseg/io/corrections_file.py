"""Reading and writing of correction arrays: 16-bit PNG or ``.npy``."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import MAX_CLASSES
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import MAX_PIXELS, check_readable, reason
from napari_wildseg.io.atomic import atomic_path
from napari_wildseg.io.formats.png import decode
from napari_wildseg.io.label_image import check_corrections

_PNG_NOT_CORRECTED = 65535
"""Value of a 16-bit PNG for -1, not corrected."""


def read_corrections(path: str | Path, shape: tuple[int, int]) -> NDArray[np.int16]:
    """Read a correction array.

    Parameters
    ----------
    path : str or Path
        A 16-bit PNG (65535: not corrected), or an ``.npy`` of integers (-1: not corrected).
    shape : tuple of int
        Shape of the labels that the corrections belong to.

    Returns
    -------
    ndarray
        ``shape`` int16, -1 or 0 to 254.

    Raises
    ------
    InputError
        If the file is missing or damaged, or has another shape or other values.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        values = _read_npy(path)
    else:
        values = decode(path)[0].astype(np.int64)
        values[values == _PNG_NOT_CORRECTED] = -1
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
    """Write a correction array as a 16-bit PNG, or as ``.npy`` if the path ends so.

    Parameters
    ----------
    path : str or Path
        The file.
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
            values = np.where(corrections < 0, _PNG_NOT_CORRECTED, corrections).astype(np.uint16)
            Image.fromarray(values).save(temporary, format="PNG")


def _read_npy(path: Path) -> NDArray[np.int64]:
    check_readable(path)
    try:
        # Memory-mapped, so that a header with a wrong size allocates nothing.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "iu":
            raise InputError(f"{path.name} does not hold an array of integers.")
        if mapped.ndim != 2 or not 0 < mapped.size <= MAX_PIXELS:
            raise InputError(f"{path.name} does not hold one (H, W) array.")
        return np.array(mapped).astype(np.int64)
    except InputError:
        raise
    except Exception as error:  # numpy raises many types for a damaged file
        raise InputError(
            f"{path.name} is not an .npy that can be read ({reason(error)})."
        ) from error
