"""Remake the pictures of docs/gallery.md: the first result on sample photographs.

    python docs/make_gallery.py

Each picture shows the photograph and the labels that the bundled starter gives for the names in
`napari_wildseg.engine.pictures.samples`, with default settings and without a correction.
"""

from __future__ import annotations

from pathlib import Path

import torch
from make_method_pictures import column, row
from PIL import Image

import napari_wildseg as ws
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.pictures.samples import SAMPLE_PICTURES, load_sample
from napari_wildseg.io.overlay import draw_overlay

PICTURES = Path(__file__).parent / "pictures"
NAMES = ("astronaut", "coffee", "chelsea", "camera", "rocket")
WIDTH = 840


def main() -> None:
    """Segment every sample and write its picture."""
    torch.set_num_threads(1)  # the number of threads changes the last bits of sums
    segmenter = ws.Segmenter()
    for name in NAMES:
        rgb = as_rgb(load_sample(name))
        segmenter.set_image(rgb)
        result = segmenter.segment(SAMPLE_PICTURES[name].labels)
        overlay = draw_overlay(rgb, result.labels, result.classes)
        # The legend is below the labels; the photograph is as large as the part above it.
        height = round(overlay.width * rgb.shape[0] / rgb.shape[1])
        photograph = Image.fromarray(rgb).resize((overlay.width, height), Image.Resampling.LANCZOS)
        blank = Image.new("RGB", (overlay.width, overlay.height - height), (255, 255, 255))
        sheet = row([column([photograph, blank], gap=0), overlay])
        sheet = sheet.resize(
            (WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS
        )
        path = PICTURES / f"gallery-{name}.jpg"
        sheet.save(path, quality=82, optimize=True)
        print(f"{path.name}: {sheet.width} x {sheet.height}, {path.stat().st_size // 1024} KB")
        print(f"  {result.notices}")


if __name__ == "__main__":
    main()
