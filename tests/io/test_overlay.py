"""The overlay picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.io.overlay import draw_overlay, overlay_png

CLASSES = parse_classes("cup of coffee, spoon, table")


def scene(height, width):
    rgb = np.full((height, width, 3), 120, np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[: height // 2, : width // 2] = 1
    labels[height // 2 :, width // 2 :] = 3
    return rgb, labels


@pytest.mark.parametrize(
    ("shape", "size"),
    [((400, 640), (640, 400)), ((30, 20), (440, 660)), ((3000, 4096), (2048, 1500))],
)
def test_small_images_grow_and_large_shrink(shape, size):
    picture = draw_overlay(*scene(*shape), CLASSES)
    assert picture.width == size[0]
    assert picture.height > size[1]  # the legend is below


def test_inside_a_class_is_its_colour_over_the_image():
    picture = np.asarray(draw_overlay(*scene(400, 640), CLASSES))
    expected = 0.55 * 120 + 0.45 * np.array(CLASSES[0].colour)
    assert np.abs(picture[100, 160] - expected).max() <= 1
    assert picture[300, 160].std() == 0  # background stays grey


def test_borders_are_light_lines():
    picture = np.asarray(draw_overlay(*scene(400, 640), CLASSES))
    for column in (319, 320):
        assert picture[100, column].min() >= 200


def test_unsure_pixels_are_in_the_legend():
    rgb, labels = scene(400, 640)
    before = draw_overlay(rgb, labels, CLASSES)
    labels[:, -5:] = 255
    after = draw_overlay(rgb, labels, CLASSES)
    legends = [np.asarray(picture)[400:].reshape(-1, 3) for picture in (before, after)]
    greys = [(legend == 128).all(axis=1).sum() for legend in legends]
    assert greys[0] < 10
    assert greys[1] > 100


def test_the_legend_has_every_colour_and_long_names_fit():
    long = parse_classes(["w" * 190, "漢字", *[f"class number {n}" for n in range(40)]])
    rgb, labels = scene(100, 60)
    picture = draw_overlay(rgb, labels, long)
    legend = np.asarray(picture)[100 * 7 :].reshape(-1, 3)
    present = {tuple(colour) for colour in np.unique(legend, axis=0).tolist()}
    assert all(info.colour in present for info in long)


def test_bytes_are_a_png_and_always_the_same():
    first, second = (overlay_png(*scene(64, 64), CLASSES) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).format == "PNG"
