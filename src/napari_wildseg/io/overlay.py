"""Overlay picture: the image with class colours, outlines and a legend."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo

if TYPE_CHECKING:
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MIN_LONG_SIDE = 640
_MAX_LONG_SIDE = 2048
_OPACITY = 0.45
_LINE_OPACITY = 0.8
_INK = (32, 33, 36)
_PAPER = (255, 255, 255)
_FAINT = (118, 122, 128)
_UNLABELLED_COLOUR = (128, 128, 128)
# Searched in the system's font folders, for characters that Pillow's font lacks.
_WIDE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "NotoSansCJK.ttc")


def overlay_png(
    rgb: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[ClassInfo]
) -> bytes:
    """Draw labels over an image with a legend below, and encode it as PNG.

    `rgb`: ``(H, W, 3)`` uint8; `labels`: ``(H, W)`` uint8; 255 is drawn in grey.
    """
    buffer = io.BytesIO()
    draw_overlay(rgb, labels, classes).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def draw_overlay(
    rgb: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[ClassInfo]
) -> Image.Image:
    """Draw the picture that `overlay_png` encodes.

    `rgb`: ``(H, W, 3)`` uint8; `labels`: ``(H, W)`` uint8.
    """
    height, width = labels.shape
    factor = _enlargement(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    picture = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS), np.float32)
    drawn = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))

    palette = np.zeros((256, 3), np.float32)
    opacity = np.zeros(256, np.float32)
    for info in classes:
        palette[info.id] = info.colour
        opacity[info.id] = _OPACITY
    palette[UNLABELLED], opacity[UNLABELLED] = _UNLABELLED_COLOUR, _OPACITY
    blend = opacity[drawn][..., None]
    # The background is dimmed, so that classes are visible on any picture.
    ground = np.where(drawn[..., None] == 0, picture * 0.8 + 20, picture)
    mixed = ground * (1 - blend) + palette[drawn] * blend
    # A light line on both sides of every border is visible on dark and coloured pixels.
    edge = _edges(drawn, max(1, round(max(size) / 700)))
    mixed[edge] = 255 * _LINE_OPACITY + palette[drawn][edge] * (1 - _LINE_OPACITY)
    top = Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))

    share = np.bincount(labels.ravel(), minlength=256) / labels.size
    entries = [(c.name, c.colour, float(share[c.id])) for c in classes]
    if share[UNLABELLED]:
        entries.append(("not sure", _UNLABELLED_COLOUR, float(share[UNLABELLED])))
    legend = _legend(top.width, entries)
    canvas = Image.new("RGB", (top.width, top.height + legend.height), _PAPER)
    canvas.paste(top, (0, 0))
    canvas.paste(legend, (0, top.height))
    return canvas


def _enlargement(height: int, width: int) -> float:
    """Return the scale factor from the image to the overlay."""
    longest = max(height, width)
    if longest < _MIN_LONG_SIDE:
        return float(math.ceil(_MIN_LONG_SIDE / longest))
    return min(1.0, _MAX_LONG_SIDE / longest)


def _edges(values: NDArray[np.uint8], thickness: int) -> NDArray[np.bool_]:
    """Return the pixels within ``thickness`` of another value."""
    from scipy import ndimage

    size = 2 * thickness + 1
    low = ndimage.minimum_filter(values, size=size, mode="nearest")
    high = ndimage.maximum_filter(values, size=size, mode="nearest")
    return np.asarray(low != high)


def _legend(width: int, entries: Sequence[tuple[str, tuple[int, int, int], float]]) -> Image.Image:
    """Draw colour, name and share of each class, in rows that fit the width."""
    size = max(15, min(40, round(width / 42)))
    pad, swatch = round(size * 0.8), round(size * 1.05)
    placed: list[tuple[int, int, str, str, tuple[int, int, int]]] = []
    fonts = {name: _font(size, name) for name, _, _ in entries}
    figures = _font(round(size * 0.82), "0")
    x = y = pad
    line = round(size * 1.75)
    for name, colour, share in entries:
        figure = _percent(share)
        fixed = (
            swatch + round(size * 0.5) + round(size * 0.4) + math.ceil(figures.getlength(figure))
        )
        shown = _shorten(name, fonts[name], width - 2 * pad - fixed)
        wide = fixed + math.ceil(fonts[name].getlength(shown))
        if x > pad and x + wide > width - pad:
            x, y = pad, y + line
        placed.append((x, y, shown, figure, colour))
        fonts[shown] = fonts[name]
        x += wide + round(size * 1.3)
    legend = Image.new("RGB", (width, y + swatch + pad), _PAPER)
    draw = ImageDraw.Draw(legend)
    for left, top, shown, figure, colour in placed:
        box = (left, top, left + swatch, top + swatch)
        draw.rounded_rectangle(box, radius=max(2, size // 5), fill=colour, outline=_INK)
        middle, text = top + swatch / 2, left + swatch + round(size * 0.5)
        draw.text((text, middle), shown, fill=_INK, font=fonts[shown], anchor="lm")
        text += math.ceil(fonts[shown].getlength(shown)) + round(size * 0.4)
        draw.text((text, middle), figure, fill=_FAINT, font=figures, anchor="lm")
    return legend


def _percent(share: float) -> str:
    if share == 0:
        return "none"
    return "< 0.1 %" if share < 0.001 else f"{share * 100:.{0 if share >= 0.1 else 1}f} %"


def _shorten(text: str, font: Font, space: float) -> str:
    """Truncate a name to the space, ending in dots."""
    if font.getlength(text) <= space:
        return text
    for end in range(len(text) - 1, 0, -1):
        if font.getlength(text[:end] + "...") <= space:
            return text[:end] + "..."
    return "..."


def _font(size: int, text: str) -> Font:
    """Return Pillow's default font, or a system font for characters beyond Latin."""
    if not all(ord(letter) < 0x250 for letter in text):
        for name in _WIDE_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
