"""Choose the default class colours and print the table of engine/names/palette.py.

    python scripts/make_palette.py

Farthest-point sampling: starting from two colours of Okabe & Ito (2008), the next colour is always
the one whose least difference from all chosen before, from black and from the grey of "not sure"
is greatest. The difference of two colours is the least CIEDE2000 over four ways of seeing them:
normal, and simulated protanopia, deuteranopia and tritanopia. Candidates are vivid and neither
very dark nor very light, so that they show on photographs.
"""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from napari_wildseg.engine.names.palette import VISIONS, differences, simulate_vision

START = ((230, 159, 0), (86, 180, 233))
KEPT_CLEAR = ((0, 0, 0), (128, 128, 128))
COUNT = 254
STEP = 15
LIGHTNESS = (38, 92)
CHROMA = 35


def candidates() -> np.ndarray:
    """Colours of a cube's grid that may be chosen: ``(N, 3)`` uint8."""
    steps = np.arange(0, 256, STEP, dtype=np.uint8)
    colours = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    light, a, b = rgb2lab(colours[None] / 255)[0].T
    fit = (light > LIGHTNESS[0]) & (light < LIGHTNESS[1]) & (np.hypot(a, b) > CHROMA)
    return colours[fit]


def choose(count: int = COUNT) -> list[tuple[int, int, int]]:
    """The colours, first to last."""
    pool = candidates()
    seen = np.stack([simulate_vision(pool, vision) for vision in VISIONS])
    chosen = list(START)
    nearest = np.full(len(pool), np.inf)

    def note(colour: tuple[int, int, int]) -> None:
        for vision, colours in zip(VISIONS, seen, strict=True):
            one = simulate_vision(np.array([colour], np.uint8), vision)
            np.minimum(nearest, differences(colours, one)[:, 0], out=nearest)

    for colour in (*START, *KEPT_CLEAR):
        note(colour)
    while len(chosen) < count:
        red, green, blue = pool[int(nearest.argmax())].tolist()
        chosen.append((red, green, blue))
        note(chosen[-1])
    return chosen


if __name__ == "__main__":
    words = ["{:02x}{:02x}{:02x}".format(*colour) for colour in choose()]
    for start in range(0, len(words), 13):
        print(" ".join(words[start : start + 13]))
