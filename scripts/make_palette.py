"""Choose the default class colours and print engine/names/palette.txt.

    python scripts/make_palette.py

Farthest-point sampling: starting from two colours of Okabe & Ito (2008), the next colour is always
the one whose least difference from all chosen before, from black and from the grey of "not sure"
is greatest. The difference of two colours is the least CIEDE2000 over four ways of seeing them:
normal, and simulated protanopia, deuteranopia and tritanopia. Candidates are vivid and neither
very dark nor very light, so that they show on photographs.
"""

from __future__ import annotations

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

VISIONS = ("normal", "protanopia", "deuteranopia", "tritanopia")
"""Kinds of colour vision that `simulate_vision` accepts."""

# In linear RGB, at full severity: Machado, Oliveira & Fernandes, "A Physiologically-based Model
# for Simulation of Color Vision Deficiency", IEEE TVCG 2009.
_SIMULATION = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}

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


def simulate_vision(colours: np.ndarray, vision: str) -> np.ndarray:
    """Simulate how colours appear to a kind of vision, in CIELAB.

    `colours`: ``(N, 3)`` uint8 sRGB. Returns ``(N, 3)`` float64: L*, a*, b*.
    """
    value = np.asarray(colours, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(_SIMULATION[vision]).T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    lab: np.ndarray = rgb2lab(value[None])[0]
    return lab


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return CIEDE2000 between two lists of CIELAB colours: ``(N, 3), (M, 3) -> (N, M)``."""
    found: np.ndarray = deltaE_ciede2000(first[:, None], second[None])
    return found


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
