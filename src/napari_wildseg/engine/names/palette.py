"""Class colours: a default palette safe for colour-blind readers, and PASCAL VOC's.

The default palette was chosen by farthest-point sampling over normal and simulated colour-blind
vision (``scripts/make_palette.py``); docs/labels.md lists its smallest colour differences.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.errors import InputError

PALETTES = ("default", "voc")
"""Palette names that `palette_colour` accepts."""

_DEFAULT = """
e69f00 56b4e9 960fb4 0f6900 c3f0b4 e11e4b 9669a5 00fff0 6978ff a52d5a e1f069 87b478 003cff
ff69a5 3c9669 c37800 b4d278 c3000f 4b783c 87d2a5 f096c3 4b96d2 874b78 c3964b b43cc3 ff2d87
69d2ff ffc300 785a96 d2f096 3c69e1 b478b4 8796ff a56900 c30f87 00a596 a54b5a c36987 8700e1
c3b45a 4bd2b4 87f0c3 78962d 5a874b d25a69 3c692d b40f2d 2d8769 d269d2 5a69b4 ff8778 a5e196
00f03c e1695a d27896 c396d2 78a569 5ac31e 00b4b4 c32d3c 964b69 e100a5 2de1d2 a5ff1e 96c387
963cff 69c396 e187b4 874b00 b42de1 d2002d c3e169 7887f0 c34b78 00784b ff4b2d ff5a87 a50f87
a5d296 5ac3f0 a5d25a a55a96 c300a5 d24b5a ffa5ff ff78c3 d21e87 b469b4 963c69 87a5ff c32d5a
9669d2 b46996 4b4bc3 c369a5 a54b78 f0d24b 3cc3c3 87e1b4 1ea5e1 c35a78 f0a587 e169c3 00f0d2
78a52d b41e4b ff964b a5874b b44b87 b41e78 d26996 ffb4e1 d23cc3 ffc387 784b96 f09696 2d69a5
c35a2d f0001e 96e1a5 3ca55a a5a55a f087a5 78b469 b45a3c ff785a f03cc3 78691e d26978 f078e1
f0a5e1 f096f0 b44b69 ff1ef0 2d693c b4f0a5 a500c3 78c378 c369c3 e178c3 d27878 d22de1 a54bb4
78ffd2 0f873c 78e100 872de1 e169a5 ffd287 f04be1 b41e96 a5c369 c34b4b 691ef0 ffa5d2 00b487
3c87e1 d278d2 96ff78 a52d3c b4b43c 3cd2e1 69964b ffb4ff e1783c c30fd2 78e1c3 69ff5a ffa5a5
5aa53c e18700 b45a69 9669b4 d22dff 3c78c3 a578ff e11e0f ff69ff e14b96 f05a69 96d269 1eb43c
d22d2d 964bd2 c30ff0 871ed2 ff6987 87ffc3 a5b400 d2692d d20078 ffa54b d2000f d2f04b 1e5ab4
6996f0 5ae1f0 b43c4b 5affb4 ff7887 5ab45a d24ba5 4b5a96 b4c31e 8787e1 5af087 1ec3a5 4b69d2
d2a5ff 00d25a b41eb4 c32d1e 1e9687 f05a00 4b691e c3c378 0078f0 e18796 785aa5 e196d2 69f0f0
e1d25a 5a5af0 a54b3c e17896 d20f5a 963c5a e18769 d269b4 5a9600 e15a5a 4b872d b40f87 2de196
00d296 a52d69 2d962d f05af0 e17878 b44b4b e1964b 5a690f a587f0 e1e196 e11e87 d2d269 1ea50f
c378a5 00c387 00ff00 a50f96 7800ff 87873c 3c782d
"""


def palette_colour(class_id: int, palette: str = "default") -> tuple[int, int, int]:
    """Return the colour of a class in a palette."""
    if palette not in PALETTES:
        raise InputError(f'There is no palette "{palette}": choose {" or ".join(PALETTES)}.')
    table = _default_palette() if palette == "default" else voc_palette()[1:255]
    red, green, blue = table[(class_id - 1) % len(table)].tolist()
    return red, green, blue


@lru_cache(maxsize=1)
def _default_palette() -> NDArray[np.uint8]:
    return np.array([list(bytes.fromhex(word)) for word in _DEFAULT.split()], np.uint8)


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
