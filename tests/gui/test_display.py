"""What is segmented is what is displayed, and no more of a lazy array is read than the plane."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_wildseg.gui.layers.display import (
    Plane,
    capture,
    channels_of,
    current_plane,
    level_shape,
    serving_level,
)


def shown(image: Image, others=(), point=None, order=None):
    ndim = image.ndim
    point = [0.0] * ndim if point is None else point
    plane = current_plane(image, point, range(ndim) if order is None else order)
    return capture(image, plane, others).read()


def test_grey_within_contrast_limits():
    data = np.array([[0, 100], [200, 300]], np.uint16)
    image = Image(data, contrast_limits=(100, 300))
    assert shown(image)[..., 0].tolist() == [[0, 0], [128, 255]]


def test_gamma_and_colormap_are_as_displayed():
    data = np.linspace(0, 1, 64).reshape(8, 8)
    image = Image(data, contrast_limits=(0, 1), colormap="magma", gamma=2.0)
    expected = image.colormap.map((data**2).ravel())[:, :3].reshape(8, 8, 3) * 255
    assert np.abs(shown(image) - expected).max() < 3


def test_nan_is_drawn_as_the_darkest():
    data = np.array([[np.nan, 1.0], [0.0, 0.5]])
    assert shown(Image(data, contrast_limits=(0, 1)))[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("channels", [3, 4])
def test_rgb_goes_through_untouched(channels):
    data = np.random.default_rng(0).integers(0, 255, (6, 7, channels), dtype=np.uint8)
    assert (shown(Image(data, rgb=True)) == data).all()


def test_plane_of_a_stack_follows_the_slider_in_world_units():
    data = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    image = Image(data, scale=(10, 1, 1), contrast_limits=(0, 209))
    assert current_plane(image, (30, 0, 0), (0, 1, 2)) == Plane((3, None, None))
    assert shown(image, point=(30, 0, 0)).shape == (6, 7, 3)


def test_plane_of_rolled_axes():
    image = Image(np.zeros((5, 6, 7)))
    plane = current_plane(image, (0, 4, 0), (1, 0, 2))
    assert plane == Plane((None, 4, None))
    assert shown(image, point=(0, 4, 0), order=(1, 0, 2)).shape == (5, 7, 3)


def test_plane_in_a_viewer_with_more_axes():
    image = Image(np.zeros((6, 7)))
    assert current_plane(image, (3, 0, 0), (0, 1, 2)) == Plane((None, None))


def test_plane_outside_the_stack_is_the_nearest():
    image = Image(np.zeros((5, 6, 7)))
    assert current_plane(image, (99, 0, 0), (0, 1, 2)).index[0] == 4


def test_pyramid_gives_the_level_that_serves():
    levels = [np.zeros((10_000, 8000), np.uint8)]
    levels += [levels[0][::2, ::2], levels[0][::4, ::4]]
    image = Image(levels, multiscale=True)
    assert serving_level(image) == 2
    assert level_shape(image) == (2500, 2000)
    assert shown(image).shape == (2500, 2000, 3)


def test_only_the_plane_of_a_lazy_stack_is_read():
    read: list[int] = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return np.zeros((1, 8, 9), np.uint8)

    data = da.map_blocks(block, chunks=((1,) * 20, (8,), (9,)), dtype=np.uint8)
    image = Image(data, contrast_limits=(0, 255))
    plane = current_plane(image, (7, 0, 0), (0, 1, 2))
    read.clear()
    source = capture(image, plane)
    assert read == [], "taking notes reads nothing"
    source.read()
    assert set(read) == {7}


def test_channels_on_one_spot_are_shown_together():
    red = Image(np.full((4, 5), 1.0), contrast_limits=(0, 1), colormap="red", blending="additive")
    green = Image(
        np.full((4, 5), 1.0), contrast_limits=(0, 1), colormap="green", blending="additive"
    )
    assert shown(red, (red, green))[0, 0].tolist()[0] == 255
    assert shown(red, (red, green))[0, 0].tolist()[1] > 100
    green.visible = False
    assert shown(red, (red, green))[0, 0].tolist() == [255, 0, 0]
    green.visible, green.translate = True, (1, 0)
    assert shown(red, (red, green))[0, 0].tolist() == [255, 0, 0]


def grey(blending: str, colormap: str = "gray", **kwargs) -> Image:
    data = np.full((4, 5), 1.0)
    return Image(data, contrast_limits=(0, 1), colormap=colormap, blending=blending, **kwargs)


def test_the_lowest_channel_may_hide_what_is_below():
    """So napari shows a channel axis: the first covers what was there, the others add."""
    below, first = grey("translucent"), grey("translucent_no_depth", "red")
    second, third = grey("additive", "green"), grey("additive", "blue")
    above = grey("translucent")
    layers = [below, first, second, third, above]
    for channel in (first, second, third):
        assert channels_of(channel, layers) == [first, second, third]
        assert shown(channel, layers)[0, 0].min() > 100
    assert channels_of(below, layers) == [below]
    assert channels_of(above, layers) == [above]
    second.visible = False
    assert channels_of(third, layers) == [first, third]
    first.visible = False
    assert channels_of(first, layers) == [first, third], "the chosen one counts, shown or not"


def test_a_coloured_picture_hides_what_is_below_and_shows_with_what_is_above():
    below, above = grey("additive", "red"), grey("additive", "blue", opacity=0.5)
    picture = Image(np.full((4, 5, 3), (0, 100, 20), np.uint8), rgb=True)
    layers = [below, picture, above]
    assert channels_of(above, layers) == [picture, above]
    assert shown(above, layers)[0, 0].tolist() == [0, 100, 148]
    assert channels_of(below, layers) == [below]
    assert channels_of(picture, layers) == [picture], "a photograph is taken as it is"
    picture.blending = "additive"
    assert channels_of(above, layers) == layers
    assert shown(below, layers)[0, 0].tolist() == [255, 100, 148]
    picture.visible = False
    assert channels_of(above, layers) == [below, above]


@pytest.mark.parametrize(
    ("pixel", "kind", "expected"),
    [
        ((0, 1, 0.4), np.float32, [0, 255, 102]),
        ((0, np.nan, 1.5), np.float32, [0, 0, 255]),
        ((0, 65535, 13107), np.uint16, [0, 255, 51]),
        ((0, 200, 100, 51), np.uint8, [0, 40, 20]),
    ],
)
def test_coloured_pictures_of_any_type_among_channels(pixel, kind, expected):
    picture = Image(np.full((4, 5, len(pixel)), pixel, kind), rgb=True)
    dark = Image(np.zeros((4, 5)), contrast_limits=(0, 1), blending="additive")
    assert shown(dark, [picture, dark])[0, 0].tolist() == expected


def test_channels_of_a_channel_axis_are_shown_together():
    from napari.components import ViewerModel

    viewer = ViewerModel()
    first, second = viewer.add_image(np.ones((6, 7, 2)), channel_axis=2)
    for channel in (first, second):
        assert channels_of(channel, viewer.layers) == [first, second]
    picture = viewer.add_image(np.ones((6, 7)))
    assert channels_of(picture, viewer.layers) == [picture]


def test_an_array_edited_in_place_is_another_image():
    data = np.zeros((8, 8), np.uint8)
    image = Image(data, contrast_limits=(0, 255))
    plane = Plane((None, None))
    before = capture(image, plane).key
    assert capture(image, plane).key == before
    data[3, 3] = 9
    assert capture(image, plane).key != before


def test_places_in_the_array():
    plane = Plane((2, None, 5, None))
    rows, columns = np.array([0, 1]), np.array([3, 4])
    assert [a.tolist() for a in plane.expand(rows, columns)] == [[2, 2], [0, 1], [5, 5], [3, 4]]
    assert plane.embed(np.zeros((6, 7))).shape == (1, 6, 1, 7)
    assert str(plane) == "plane 2, 5"
    assert str(Plane((None, None))) == "image"
