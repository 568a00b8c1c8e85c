"""Whatever array an annotator has becomes RGB bytes, or one sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb

rng = np.random.default_rng(0)
RGB = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def ramp(dtype, low, high):
    """A 40 x 50 grey ramp from low to high."""
    return np.linspace(low, high, 2000).reshape(40, 50).astype(dtype)


def test_rgb_bytes_are_taken_as_they_are():
    out = as_rgb(RGB)
    np.testing.assert_array_equal(out, RGB)
    assert not np.shares_memory(out, RGB)


def test_a_dark_byte_image_is_not_stretched():
    assert as_rgb(RGB // 8).max() <= 31


def test_grey_becomes_three_equal_channels():
    grey = RGB[..., 0]
    out = as_rgb(grey)
    for channel in range(3):
        np.testing.assert_array_equal(out[..., channel], grey)
    assert out.flags.c_contiguous
    assert out.flags.writeable


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::-1, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a[..., ::-1],
    ],
)
def test_memory_layout_does_not_matter(make):
    view = make(RGB)
    np.testing.assert_array_equal(as_rgb(view), np.array(view.tolist(), np.uint8))


def test_bool_becomes_black_and_white():
    np.testing.assert_array_equal(as_rgb(np.eye(3, dtype=bool))[..., 1], np.eye(3) * 255)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_within_0_and_1_are_scaled_by_255(dtype):
    image = np.array([[0.0, 0.5], [0.25, 0.75]], dtype)
    np.testing.assert_array_equal(as_rgb(image)[..., 0], np.rint(image.astype(float) * 255))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.uint16, 300, 4000),
        (">u2", 300, 4000),
        (np.int16, -1000, 3000),
        (np.uint32, 0, 2**32 - 1),
        (np.int64, -(2**40), 2**40),
        (np.int8, -128, 127),
        (np.float16, -5, 5),
        (np.float32, 0, 255),
        (np.float64, 0.5, 1.5),
    ],
)
def test_other_ranges_are_stretched(dtype, low, high):
    out = as_rgb(ramp(dtype, low, high))[..., 0].astype(int)
    assert out.min() == 0
    assert out.max() == 255
    np.testing.assert_allclose(out, ramp(float, 0, 255), atol=2)


def test_a_hot_pixel_does_not_darken_the_image():
    image = ramp(np.uint16, 0, 1000)
    image[3, 3] = 65535
    assert as_rgb(image)[20, 25, 0] > 120


def test_channels_are_stretched_together():
    image = np.stack([ramp(np.uint16, 0, 1000), ramp(np.uint16, 0, 100), ramp(np.uint16, 0, 10)], 2)
    out = as_rgb(image)
    assert out[-1, -1, 0] == 255
    assert 20 < out[-1, -1, 1] < 30


@pytest.mark.parametrize("value", [0, 7, 65535, -3.5, 1e30])
def test_a_constant_image_is_black_where_it_would_be_stretched(value):
    dtype = np.uint16 if value in (0, 7, 65535) else np.float64
    assert not as_rgb(np.full((4, 4), value, dtype)).any()


def test_a_constant_float_image_within_0_and_1_keeps_its_grey():
    assert (as_rgb(np.full((4, 4), 0.5)) == 128).all()


def test_nan_and_infinities_count_as_the_nearest_finite_value():
    image = ramp(np.float32, 0.2, 0.8)
    low, high = (round(255 * v) for v in (0.2, 0.8))
    image[5, 5], image[6, 6], image[7, 7] = np.nan, -np.inf, np.inf
    out = as_rgb(image)[..., 0]
    assert (out[5, 5], out[6, 6], out[7, 7]) == (low, low, high)
    clean = np.delete(np.arange(40), [5, 6, 7])
    np.testing.assert_array_equal(out[clean], as_rgb(ramp(np.float32, 0.2, 0.8))[clean, :, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_finite_is_black(value):
    assert not as_rgb(np.full((3, 3, 3), value)).any()


def test_values_beyond_single_precision_count_as_infinite():
    image = ramp(np.float64, 0, 100)
    image[0, 0], image[-1, -1] = -1e300, 1e300
    out = as_rgb(image)[..., 0].astype(int)
    np.testing.assert_allclose(out, ramp(float, 0, 255), atol=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, bool])
def test_alpha_is_composed_over_white(dtype):
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1.0, bool: True}[dtype]
    image = np.zeros((2, 2, 4), dtype)
    image[0, :, :3] = top
    image[..., 0, 3] = top  # first column opaque, second transparent
    out = as_rgb(image)
    np.testing.assert_array_equal(out[..., 0], [[255, 255], [0, 255]])


def test_half_transparent_black_is_grey_and_transparency_may_be_nan():
    image = np.zeros((2, 2, 4), np.float32)
    image[0, 0, 3], image[0, 1, 3], image[1, 0, 3], image[1, 1, 3] = 0.5, np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(as_rgb(image)[..., 0], [[128, 255], [0, 255]])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0, 3), (1, 9), (9, 1), (1, 9, 3), (1, 1, 4)])
def test_empty_and_one_pixel_thin_images_are_refused(shape):
    with pytest.raises(InputError, match=f"The image is {shape[1]} x {shape[0]} pixels"):
        as_rgb(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "shape", [(), (6,), (6, 6, 1), (6, 6, 2), (6, 6, 5), (3, 6, 6), (2, 6, 6, 3)]
)
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"give \(H, W\), \(H, W, 3\) or \(H, W, 4\)"):
        as_rgb(np.zeros(shape))


@pytest.mark.parametrize("dtype", [complex, object, "U3", "M8[s]"])
def test_other_types_are_refused(dtype):
    with pytest.raises(InputError, match=r"cannot be segmented: convert it to integers or floats"):
        as_rgb(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("thing", [None, "photo.jpg", [[1, 2], [3]], [[[1, 2, 3]], 5]])
def test_what_is_no_array_is_refused(thing):
    with pytest.raises(InputError, match=r"image"):
        as_rgb(thing)


def test_lists_and_array_likes_are_taken():
    torch = pytest.importorskip("torch")
    assert as_rgb([[0, 255], [255, 0]]).shape == (2, 2, 3)
    np.testing.assert_array_equal(as_rgb(torch.from_numpy(RGB)), RGB)


ANY_IMAGE = st.one_of(
    *(
        hnp.arrays(
            dtype,
            st.one_of(
                hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6),
                st.tuples(st.integers(2, 5), st.integers(2, 5), st.sampled_from([3, 4])),
            ),
        )
        for dtype in (bool, np.uint8, np.int16, np.uint64, np.float16, np.float32, np.float64)
    )
)


@given(ANY_IMAGE)
def test_every_numeric_image_becomes_rgb(image):
    before = image.copy()
    out = as_rgb(image)
    assert out.shape == (*image.shape[:2], 3)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(as_rgb(out), out)
