"""Remake images/moving.gif: names typed, Auto-segment, a stroke, Refine, in the real window.

Needs a screen, a virtual one will do::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_moving_picture.py
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
from make_screenshots import IMAGES, Desk
from PIL import Image

NAMES = "cup of coffee, spoon, table"
WIDTH = 800
MOST_BYTES = 3_000_000
STROKES = (
    # label, brush size, from and to in pixels (row, column): the cup's wall and rim, its saucer
    (1, 24, (225, 225), (245, 330)),
    (1, 14, (110, 182), (38, 255)),
    (3, 24, (330, 180), (365, 300)),
)


class Film:
    """Frames of a window with the time that each is shown."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def shoot(self, milliseconds: int) -> None:
        """Add a frame."""
        self.desk.settle(0.15)
        pixels = self.desk.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        frame = Image.fromarray(pixels)
        height = round(frame.height * WIDTH / frame.width)
        self.frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self.times.append(milliseconds)

    def save(self) -> None:
        """Write the film with one palette, so that what stays the same costs nothing."""
        sheet = np.concatenate([np.asarray(f) for f in (*self.frames[:3], *self.frames[-3:])])
        palette = Image.fromarray(sheet).quantize(256)
        small = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in self.frames]
        path = IMAGES / "moving.gif"
        small[0].save(
            path, save_all=True, append_images=small[1:], duration=self.times, loop=0, optimize=True
        )
        size = path.stat().st_size
        print(f"wrote {path}: {len(small)} frames, {size / 1e6:.2f} MB")
        assert size < MOST_BYTES


def main() -> int:
    """Make the film."""
    desk = Desk(width=1100, height=700)
    film = Film(desk)
    film.shoot(900)
    desk.press("open_sample")
    desk.widget.controller.set_classes(())
    desk.viewer.reset_view(margin=0.02)
    line = desk.control("new_class")
    for end in range(3, len(NAMES) + 3, 3):
        line.setText(NAMES[:end])
        film.shoot(120)
    line.returnPressed.emit()
    film.shoot(900)
    desk.press("auto_segment")
    film.shoot(2200)
    labels = desk.viewer.layers["coffee labels"]
    for label, size, start, stop in STROKES:
        desk.widget.controller.pick_class(label)
        labels.brush_size = size
        spots = np.linspace(start, stop, 6).round().astype(int)
        for before, after in pairwise(spots):
            for step in np.linspace(before, after, 8):
                labels.paint(tuple(step.round().astype(int)), label)
            film.shoot(120)
    film.shoot(900)
    desk.press("refine")
    film.shoot(3000)
    film.save()
    desk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
