"""Conversion of image arrays of any common type to RGB bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

MIN_SIDE = 2
"""The shortest side that can be segmented, in pixels."""


def as_rgb(image: Any) -> NDArray[np.uint8]:
    """Convert an image of any common shape and dtype to RGB bytes.

    `image`: ``(H, W)`` grey, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA; bool, integers or floats,
    contiguous or not. Returns ``(H, W, 3)`` uint8, contiguous, never a view of the input.

    Examples
    --------
    >>> import numpy as np
    >>> as_rgb(np.eye(4, dtype=bool))[0, :2, 0].tolist()
    [255, 0]
    """
    try:
        array = np.asarray(image)
    except (ValueError, TypeError) as error:
        raise InputError("The image is no array of numbers: its rows differ in length.") from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(
            f"An image of shape {array.shape} cannot be segmented: "
            "give (H, W), (H, W, 3) or (H, W, 4)."
        )
    if min(array.shape[:2]) < MIN_SIDE:
        raise InputError(
            f"The image is {array.shape[1]} x {array.shape[0]} pixels: "
            f"each side needs at least {MIN_SIDE}."
        )
    if array.dtype.kind not in "buif":
        raise InputError(
            f"An image of type {array.dtype} cannot be segmented: convert it to integers or floats."
        )
    colours = array[..., :3] if array.ndim == 3 else array[..., None]
    rgb = np.broadcast_to(_to_bytes(colours), (*array.shape[:2], 3))
    if array.ndim == 3 and array.shape[2] == 4:
        rgb = over_white(rgb, array[..., 3])
    return np.array(rgb, dtype=np.uint8, order="C")


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale intensities to 0..255."""
    if values.dtype in (np.uint8, bool):
        return stretch(values, None)
    # A subsample suffices for percentiles and is fast for large images.
    steps = (max(1, values.shape[0] // 1000), max(1, values.shape[1] // 1000))
    floats = _finite(values)
    return stretch(floats, _limits(floats, floats[:: steps[0], :: steps[1]], values.dtype.kind))


def intensity_range(sample: NDArray[Any]) -> tuple[float, float]:
    """Return the intensities that `as_rgb` maps to black and to white."""
    floats = _finite(sample)
    return _limits(floats, floats, sample.dtype.kind)


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert to float32; replace NaN and infinite values by the nearest finite one."""
    with np.errstate(over="ignore"):
        floats: NDArray[np.float32] = values.astype(np.float32)
    finite = np.abs(floats) < 1e38  # differences of such values are finite too
    if not finite.all():
        known = floats[finite]
        low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
        floats = np.where(finite, floats, np.where(floats > 0, high, low))
    return floats


def _limits(
    floats: NDArray[np.float32], sample: NDArray[np.float32], kind: str
) -> tuple[float, float]:
    low, high = float(floats.min()), float(floats.max())
    if kind == "f" and low >= 0 and high <= 1:
        return (0.0, 1.0) if high > 0 else (0.0, 0.0)
    inner_low, inner_high = np.percentile(sample, (0.1, 99.9))
    return (float(inner_low), float(inner_high)) if inner_high > inner_low else (low, high)


def stretch(values: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Scale intensities between the limits to bytes."""
    if values.dtype == np.uint8 and limits is None:
        return values
    if limits is None:
        return values.astype(np.uint8) * 255
    low, high = limits
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    floats = np.nan_to_num(values.astype(np.float32), nan=low)
    scaled: NDArray[np.float32] = np.clip((floats - low) / (high - low), 0, 1)
    return np.rint(scaled * 255).astype(np.uint8)


def max_intensity(dtype: np.dtype[Any]) -> float:
    """Return the largest intensity of a dtype: its maximum for integers, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def over_white(rgb: NDArray[np.uint8], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """Composite an image over white.

    `rgb`: ``(H, W, 3)`` uint8; `alpha`: ``(H, W)``, which spans its dtype's range (floats: 0 to 1).
    """
    top = max_intensity(alpha.dtype)
    opacity: NDArray[np.float32] = np.clip(np.nan_to_num(alpha), 0, top).astype(np.float32)
    opacity = opacity[..., None] / np.float32(top)
    composed: NDArray[np.float32] = rgb * opacity + 255 * (1 - opacity)
    return np.rint(composed).astype(np.uint8)
