"""Class colours: a default palette safe for colour-blind readers, and PASCAL VOC's.

The default palette was chosen by farthest-point sampling over normal and simulated colour-blind
vision (``scripts/make_palette.py``); docs/labels.md lists its smallest colour differences.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

PALETTES = ("default", "voc")
"""Palette names that `palette_colour` accepts."""


def palette_colour(class_id: int, palette: str = "default") -> tuple[int, int, int]:
    """Return the colour of a class in a palette."""
    if palette not in PALETTES:
        raise InputError(f'There is no palette "{palette}": choose {" or ".join(PALETTES)}.')
    table = _default_palette() if palette == "default" else voc_palette()[1:255]
    red, green, blue = table[(class_id - 1) % len(table)].tolist()
    return red, green, blue


@lru_cache(maxsize=1)
def _default_palette() -> NDArray[np.uint8]:
    words = Path(__file__).with_suffix(".txt").read_text(encoding="ascii").split()
    return np.array([list(bytes.fromhex(word)) for word in words], np.uint8)


def voc_palette(n: int = 256) -> NDArray[np.uint8]:
    """Return the colour map of PASCAL VOC: ``(n, 3)`` uint8, black for 0.

    As in the VOC development kit (Everingham et al., IJCV 2010), the bits of the label value are
    dealt to red, green and blue in turn, highest bit first.
    """
    value = np.arange(n)
    palette = np.zeros((n, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((value >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette
