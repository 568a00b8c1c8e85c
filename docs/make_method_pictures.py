"""Remake the pictures of every stage of the method in docs/pictures, from the code itself.

    python docs/make_method_pictures.py

Nothing is drawn by hand but the dabs, whose places stand below. The same code gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import napari_wildseg as ws
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.images.tower_geometry import geometry_of
from napari_wildseg.engine.images.views import make_views, render
from napari_wildseg.engine.pictures.samples import load_sample
from napari_wildseg.io.overlay import draw_overlay

PICTURES = Path(__file__).parent / "pictures"
SAMPLE = "camera"
NAMES = "man, camera, tripod, grass, sky"
DABS = (  # label, row, column, radius
    (1, 150, 228, 10),
    (2, 168, 284, 8),
    (3, 325, 296, 5),
    (4, 430, 325, 10),
    (5, 60, 400, 10),
)
WIDTH, OVERLAY_WIDTH = 900, 560
INK, PAPER = (32, 33, 36), (255, 255, 255)


def save(name: str, picture: Image.Image, width: int = WIDTH) -> None:
    """Write a picture, reduced to a width."""
    if picture.width > width:
        size = (width, round(picture.height * width / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"method-{name}.jpg"
    picture.save(path, quality=82, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KB")


def row(tiles: list[Image.Image], gap: int = 8) -> Image.Image:
    """Put pictures side by side, at the foot of a line."""
    height = max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (sum(t.width + gap for t in tiles) - gap, height), PAPER)
    x = 0
    for tile in tiles:
        sheet.paste(tile, (x, height - tile.height))
        x += tile.width + gap
    return sheet


def column(tiles: list[Image.Image], gap: int = 8) -> Image.Image:
    """Put pictures below each other."""
    width = max(tile.width for tile in tiles)
    sheet = Image.new("RGB", (width, sum(t.height + gap for t in tiles) - gap), PAPER)
    y = 0
    for tile in tiles:
        sheet.paste(tile, (0, y))
        y += tile.height + gap
    return sheet


def titled(picture: Image.Image, title: str, size: int = 26) -> Image.Image:
    """Write a line above a picture."""
    sheet = Image.new("RGB", (picture.width, picture.height + round(size * 1.5)), PAPER)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(sheet).text((0, size * 0.7), title, fill=INK, font=font, anchor="lm")
    sheet.paste(picture, (0, round(size * 1.5)))
    return sheet


def heat(rgb: np.ndarray, relevance: np.ndarray) -> Image.Image:
    """Lay a relevance map over a grey copy of the image, in colours that anyone can tell apart."""
    grey = rgb.mean(-1, keepdims=True)
    colours = mpl.colormaps["viridis"](relevance)[..., :3] * 255
    return Image.fromarray((0.25 * grey + 0.75 * colours).astype(np.uint8))


def views_picture(rgb: np.ndarray, segmenter: ws.Segmenter) -> Image.Image:
    """Every view as the image tower sees it, at its size."""
    geometry = geometry_of(segmenter.model)
    shape = (rgb.shape[0], rgb.shape[1])
    views = make_views(shape, base_side=geometry.base_side, multiple=geometry.multiple)
    tiles = []
    for view in sorted(views, key=lambda v: (v.height, v.flip)):
        shown = (render(rgb, view).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        tiles.append(Image.fromarray(shown))
    return row(tiles)


def corrections_on(shape: tuple[int, int]) -> np.ndarray:
    """The dabs as a map of corrections."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    corrections = np.full(shape, -1, np.int16)
    for label, y, x, radius in DABS:
        corrections[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = label
    return corrections


def ringed(picture: Image.Image, factor: float) -> Image.Image:
    """Draw a ring round each dab."""
    draw = ImageDraw.Draw(picture)
    for _, y, x, radius in DABS:
        for ring, colour in ((radius + 3, INK), (radius + 1, PAPER)):
            box = [(c - ring) * factor for c in (x, y)] + [(c + ring) * factor for c in (x, y)]
            draw.ellipse(box, outline=colour, width=2)
    return picture


def main() -> int:
    """Make all pictures."""
    rgb = as_rgb(load_sample(SAMPLE))
    single = ws.Segmenter(views="single")
    segmenter = ws.Segmenter(single.model)
    save("views", views_picture(rgb, segmenter))

    single.set_image(rgb)
    first = single.segment(NAMES, refine=False)
    segmenter.set_image(rgb)
    result = segmenter.segment(NAMES)
    maps = [
        row(
            [
                titled(heat(rgb, relevance), f"{info.name}, {kind}", 54)
                for info, relevance in zip(found.classes, found.relevance, strict=True)
            ],
            gap=24,
        )
        for found, kind in ((first, "one view"), (result, "merged"))
    ]
    save("relevance", column(maps))
    save("pseudo-labels", draw_overlay(rgb, result.pseudo_labels, result.classes), OVERLAY_WIDTH)
    save("refined", draw_overlay(rgb, result.labels, result.classes), OVERLAY_WIDTH)

    corrected = segmenter.refine(corrections_on(rgb.shape[:2]))
    picture = draw_overlay(rgb, corrected.labels, corrected.classes)
    save("corrected", ringed(picture, picture.width / rgb.shape[1]), OVERLAY_WIDTH)
    return 0


if __name__ == "__main__":
    sys.exit(main())
