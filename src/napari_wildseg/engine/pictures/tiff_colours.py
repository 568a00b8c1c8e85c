"""Conversion of TIFF colour models (photometric interpretation, extra samples) to RGB(A)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

Convert = Callable[[NDArray[Any]], NDArray[Any]]
"""Converts stored samples, ``(..., S)`` or ``(...)`` for S = 1, to grey, RGB or RGBA."""

_JPEG = 7
_ALPHA = (1, 2)  # ExtraSamples: associated, unassociated
_LINEAR = np.array(  # CIE XYZ (D50) to linear sRGB, adapted by Bradford (Lindbloom)
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
)
_D50 = np.array([0.96422, 1.0, 0.82521], np.float32)


def colour_conversion(
    page: Any, samples: int, name: str
) -> tuple[Convert | None, int, np.dtype[Any]]:
    """Return the conversion, the number of channels (0 for grey) and the dtype of its output."""
    kind, dtype = int(page.photometric), np.dtype(page.dtype)
    extras = [int(e) for e in page.extrasamples]
    plain = max(1, samples - len(extras))
    alpha = next((plain + i for i, e in enumerate(extras) if e in _ALPHA), None)
    if kind == 2 and samples == 4 and not extras:
        alpha, plain = 3, 3  # undeclared alpha; Pillow treats it the same way
    decoded = int(page.compression) == _JPEG  # libjpeg decodes to RGB
    step: Convert | None
    if kind in (0, 1):
        if plain == 1 and alpha is None and samples in (3, 4, 5):
            plain = samples  # samples of equal rank; three are taken for RGB
        elif plain == 1 and alpha == samples - 1:
            plain = samples - 1
        step = _widen(page, invert=kind == 0)
        fits = plain in (1, 3) and plain + (alpha is not None) == samples
    elif kind == 2 or (kind == 6 and decoded):
        step = _widen(page, invert=False)
        fits = plain == 3
    elif kind == 3 and page.colormap is not None:
        step, dtype, fits = _palette(page.colormap), np.dtype(np.uint8), plain == 1
    elif kind == 5 and page.tags.valueof("InkSet", 1) == 1:
        step, fits = _cmyk, plain == 4
    elif kind == 6:
        step, fits = _ycbcr(page), plain == 3
    elif kind in (8, 9) and dtype.itemsize <= 2 and dtype.kind in "ui":
        step, dtype = _lab(dtype, signed=kind == 8), np.dtype(np.uint8)
        fits = plain == 3
    else:
        step, fits = None, False
    title = getattr(page.photometric, "name", str(kind))
    if not fits or dtype.kind not in "buif":
        raise InputError(
            f"{name} has {samples} samples a pixel of the colour model {title}, and it cannot be "
            "told which are red, green and blue: save it as RGB or grey."
        )
    if step is None and samples == plain:
        return None, 0 if plain == 1 else 3, dtype
    grey = plain == 1 and kind != 3
    channels = 4 if alpha is not None else 0 if grey else 3
    return _converter(step, samples, plain, alpha, extras), channels, dtype


def _converter(
    step: Convert | None, samples: int, plain: int, alpha: int | None, extras: list[int]
) -> Convert | None:
    """Combine the colour conversion with the treatment of alpha; drop other extra samples."""
    premultiplied = alpha is not None and extras[alpha - plain : alpha - plain + 1] == [1]

    def convert(stored: NDArray[Any]) -> NDArray[Any]:
        colours = stored[..., :plain] if samples > 1 else stored
        if samples > 1 and plain == 1:
            colours = colours[..., 0]
        colours = colours if step is None else step(colours)
        if alpha is None:
            return colours
        opacity = stored[..., alpha]
        if colours.ndim < stored.ndim:
            colours = np.repeat(colours[..., None], 3, axis=-1)
        if colours.dtype != opacity.dtype:
            opacity = _scaled(opacity, colours.dtype)
        if premultiplied:
            colours = _unpremultiplied(colours, opacity)
        return np.concatenate([colours, opacity[..., None]], axis=-1)

    return convert


def _max_value(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def _cast(dtype: np.dtype[Any], floats: NDArray[Any]) -> NDArray[Any]:
    """Cast to a dtype, rounding for integer types."""
    return np.asarray((np.rint(floats) if dtype.kind in "ui" else floats).astype(dtype))


def _scaled(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return (values.astype(np.float32) / _max_value(values.dtype) * _max_value(dtype)).astype(dtype)


def _unpremultiplied(colours: NDArray[Any], opacity: NDArray[Any]) -> NDArray[Any]:
    """Convert premultiplied (associated) alpha to straight alpha."""
    top = _max_value(colours.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        floats = colours.astype(np.float32) * np.float32(top) / opacity[..., None]
    floats = np.clip(np.nan_to_num(floats), 0, top)
    return _cast(colours.dtype, floats)


def _widen(page: Any, *, invert: bool) -> Convert | None:
    """Return a conversion that inverts white-is-zero images and scales 2 to 7 bits to bytes."""
    bits = page.bitspersample
    narrow = isinstance(bits, int) and 1 < bits < 8
    if not (invert or narrow):
        return None

    def step(values: NDArray[Any]) -> NDArray[Any]:
        if narrow:
            values = (values.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
        if not invert:
            return values
        return -values if values.dtype.kind == "f" else ~values

    return step


def _palette(colormap: NDArray[Any]) -> Convert:
    table = np.asarray(colormap).T
    # The standard defines 16-bit entries; some programs write 8-bit ones.
    table = (table // 256 if table.max(initial=0) > 255 else table).astype(np.uint8)
    return lambda index: table[np.minimum(index, len(table) - 1)]


def _cmyk(inks: NDArray[Any]) -> NDArray[Any]:
    """Convert CMYK to RGB as Pillow does, without a colour profile."""
    top = np.float32(_max_value(inks.dtype))
    paper = 1 - np.clip(inks.astype(np.float32) / top, 0, 1)
    rgb = paper[..., :3] * paper[..., 3:] * top
    return _cast(inks.dtype, rgb)


def _ycbcr(page: Any) -> Convert:
    """Return the conversion from YCbCr (TIFF 6.0, section 21)."""
    red, green, blue = _numbers(page.tags.valueof("YCbCrCoefficients"), (0.299, 0.587, 0.114))
    reference = page.tags.valueof("ReferenceBlackWhite")  # read while the file is open

    def step(stored: NDArray[Any]) -> NDArray[Any]:
        top = _max_value(stored.dtype)
        middle = (top + 1) // 2
        usual = (0, top, middle, top, middle, top)
        levels = _numbers(reference, usual)
        black, white = np.array(levels, np.float32).reshape(-1, 2).T
        span = np.where(white > black, white - black, 1)
        ranges = np.array([top, top - middle, top - middle], np.float32)
        y, cb, cr = np.moveaxis((stored.astype(np.float32) - black) * (ranges / span), -1, 0)
        r = y + cr * (2 - 2 * red)
        b = y + cb * (2 - 2 * blue)
        g = (y - blue * b - red * r) / green
        rgb = np.clip(np.stack([r, g, b], axis=-1), 0, top)
        return _cast(stored.dtype, rgb)

    return step


def _numbers(value: Any, usual: tuple[float, ...]) -> tuple[float, ...]:
    """Read a tag's rationals, which tifffile returns as alternating numerators, denominators."""
    flat = np.asarray(value if value is not None else (), float).ravel()
    if flat.size == 2 * len(usual) and (flat[1::2] != 0).all():
        flat = flat[::2] / flat[1::2]
    usable = flat.size == len(usual) and np.isfinite(flat).all()
    usable = usable and (len(usual) != 3 or (flat > 0).all())
    return tuple(flat.tolist()) if usable else usual


def _lab(dtype: np.dtype[Any], *, signed: bool) -> Convert:
    """Return the conversion from CIE L*a*b* (D50) to sRGB bytes."""
    bits = 8 * dtype.itemsize
    unit = 2.0 ** (bits - 8)

    def step(stored: NDArray[Any]) -> NDArray[Any]:
        raw = stored.astype(np.float32)
        light = raw[..., 0] * np.float32(100 / (2.0**bits - 1 if signed else 255 * unit))
        if signed:
            kind = np.dtype(f"i{dtype.itemsize}")
            ab = stored[..., 1:].astype(dtype).view(kind).astype(np.float32) / unit
        else:
            ab = (raw[..., 1:] - 2.0 ** (bits - 1)) / unit
        y = (light + 16) / 116
        roots = np.stack([y + ab[..., 0] / 500, y, y - ab[..., 1] / 200], axis=-1)
        cubes = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * np.float32(108 / 841))
        linear = np.clip((cubes * _D50) @ _LINEAR.T, 0, 1)
        gamma = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
        return _cast(np.dtype(np.uint8), gamma * 255)

    return step


def convert_in_blocks(convert: Convert, values: NDArray[Any]) -> NDArray[Any]:
    """Convert a plane in blocks of rows, which bounds the memory for float intermediates.

    `values`: ``(H, W)`` or ``(H, W, S)``.
    """
    step = max(1, 1_000_000 // max(1, values[:1].size))
    first = convert(values[:step])
    out = np.empty((len(values), *first.shape[1:]), first.dtype)
    for top in range(0, len(values), step):
        out[top : top + step] = convert(values[top : top + step])
    return out
