"""`LargeImage`: the same pixels from any kind of array, and no more of them than asked for."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.large.layout import Box
from napari_wildseg.engine.large.source import LargeImage
from napari_wildseg.engine.progress import drain

BOX = Box(17, 30, 61, 95)


def picture(shape=(120, 150, 3), dtype=np.uint8, seed=0):
    high = 255 if dtype == np.uint8 else 4000
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


class Counted:
    """An array that counts the pixels taken from it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.taken = 0
        self.largest = 0

    def __getitem__(self, key):
        part = self.array[key]
        pixels = part.shape[0] * part.shape[1]
        self.taken += pixels
        self.largest = max(self.largest, pixels)
        return part


def test_numpy_dask_and_zarr_give_the_same(tmp_path):
    image = picture()
    stored = zarr.create_array(
        tmp_path / "a.zarr", shape=image.shape, chunks=(50, 50, 3), dtype="u1"
    )
    stored[...] = image
    for array in (image, da.from_array(image, chunks=(40, 40, 3)), stored):
        large = LargeImage(array)
        assert large.shape == (120, 150)
        np.testing.assert_array_equal(large.read(BOX), image[BOX.slices])
        assert large.pixels_read == BOX.shape[0] * BOX.shape[1]


@pytest.mark.parametrize("shape", [(120, 150), (120, 150, 1), (120, 150, 4)])
def test_grey_and_alpha_as_everywhere_else(shape):
    image = picture(shape)
    expected = as_rgb(image[..., 0] if shape[-1] == 1 else image)
    np.testing.assert_array_equal(LargeImage(image).read(BOX), expected[BOX.slices])


def test_channels_first():
    image = picture()
    large = LargeImage(np.moveaxis(image, -1, 0), channel_axis=0)
    np.testing.assert_array_equal(large.read(BOX), image[BOX.slices])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_one_range_of_intensities_for_the_whole_image(dtype):
    """Boxes are not stretched each to its own extremes: small images match `as_rgb` exactly."""
    image = picture((100, 110), dtype)
    image[:50] //= 4
    large = LargeImage(image)
    expected = as_rgb(image)
    for box in (Box(0, 0, 50, 110), Box(50, 0, 100, 110)):
        np.testing.assert_array_equal(large.read(box), expected[box.slices])


def test_a_reduced_copy_is_the_mean_and_is_read_once():
    image = picture((64, 96, 3))
    counted = Counted(image)
    large = LargeImage(counted)
    small = drain(large.reduced_steps(4))
    mean = image.reshape(16, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(small - mean).max() <= 0.51
    assert counted.taken == 64 * 96


def test_a_pyramid_is_read_at_the_level_that_is_fine_enough():
    image = picture((256, 256, 3))
    half, quarter = (image.reshape(256 // n, n, 256 // n, n, 3).mean((1, 3)) for n in (2, 4))
    levels = [Counted(a.astype(np.uint8)) for a in (image, half, quarter)]
    large = LargeImage(levels)
    small = drain(large.reduced_steps(4))
    np.testing.assert_array_equal(small, levels[2].array)
    assert [level.taken for level in levels] == [0, 0, 64 * 64]
    drain(large.reduced_steps(8))
    assert [level.taken for level in levels] == [0, 0, 2 * 64 * 64]
    drain(large.reduced_steps(2))
    assert [level.taken for level in levels[:2]] == [0, 128 * 128]


def test_odd_sizes():
    image = picture((101, 67, 3))
    small = drain(LargeImage([image, image[::2, ::2]]).reduced_steps(2))
    assert small.shape == (51, 34, 3)
    assert drain(LargeImage(image).reduced_steps(4)).shape == (26, 17, 3)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (np.zeros((4, 5, 6, 7), np.uint8), "cannot be segmented: give"),
        (np.zeros((40, 50, 2), np.uint8), "cannot be segmented: give"),
        (np.zeros((40, 50), complex), "convert it"),
        (np.zeros((1, 50), np.uint8), "each side needs"),
        ([], "no levels"),
        ([np.zeros((20, 20)), np.zeros((40, 40))], "finest first"),
    ],
)
def test_what_cannot_be_an_image_is_said(levels, message):
    with pytest.raises(InputError, match=message):
        LargeImage(levels)
