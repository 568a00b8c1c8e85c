"""Class colours: how far apart they are, also to colour-blind readers."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.names.palette import PALETTES, palette_colour, voc_palette

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "make_palette.py"))
VISIONS, differences, simulate_vision = (
    SCRIPT[name] for name in ("VISIONS", "differences", "simulate_vision")
)

DEFAULT = np.array([palette_colour(i) for i in range(1, 255)], np.uint8)
OKABE_ITO = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    np.uint8,
)


def min_difference(colours, vision):
    """The smallest CIEDE2000 between any two colours."""
    seen = simulate_vision(colours, vision)
    return differences(seen, seen)[np.triu_indices(len(seen), 1)].min()


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("count", "least"), [(5, 18), (8, 14), (12, 12), (20, 8), (40, 5)])
def test_default_colours_can_be_told_apart(vision, count, least):
    assert min_difference(DEFAULT[:count], vision) > least


@pytest.mark.parametrize("vision", VISIONS[1:])
def test_default_colours_are_further_apart_than_the_best_known_seven(vision):
    assert min_difference(DEFAULT[:7], vision) > min_difference(OKABE_ITO, vision)


def test_all_254_default_colours_differ_from_each_other_and_from_black_and_grey():
    assert len(np.unique(DEFAULT, axis=0)) == 254
    for vision in VISIONS:
        neutral = simulate_vision(np.array([(0, 0, 0), (128, 128, 128)], np.uint8), vision)
        assert differences(simulate_vision(DEFAULT[:40], vision), neutral).min() > 5


def test_simulated_vision_knows_a_textbook_confusion():
    """Red and green of like lightness: apart to most, nearly one to deuteranopes."""
    pair = np.array([(190, 80, 60), (110, 112, 50)], np.uint8)
    assert min_difference(pair, "normal") > 25
    assert min_difference(pair, "deuteranopia") < 10


def test_voc_palette():
    """The first colours as the development kit prints them."""
    palette = voc_palette()
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    assert [tuple(row) for row in palette[:6].tolist()] == expected
    assert tuple(palette[20].tolist()) == (0, 64, 128)
    assert tuple(palette[255].tolist()) == (224, 224, 192)
    assert len(np.unique(palette, axis=0)) == 256
    assert [palette_colour(i, "voc") for i in (1, 20, 254)] == [
        tuple(palette[i].tolist()) for i in (1, 20, 254)
    ]


def test_an_unknown_palette_is_refused():
    with pytest.raises(InputError, match="choose default or voc"):
        palette_colour(1, "rainbow")
    assert PALETTES == ("default", "voc")
