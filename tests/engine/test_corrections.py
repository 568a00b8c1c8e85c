"""A correction map fits the image and its classes, or one sentence says where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError

GOOD = np.array([[-1, 0, 3], [7, -1, 0]])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_good_corrections_become_int16(dtype):
    out = checked_corrections(GOOD.astype(dtype), (2, 3), [3, 7])
    assert out.dtype == np.int16
    np.testing.assert_array_equal(out, GOOD)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64])
def test_unsigned_corrections_are_taken(dtype):
    every = np.array([[0, 3], [3, 0]], dtype)
    np.testing.assert_array_equal(checked_corrections(every, (2, 2), [3]), every)


def test_lists_are_taken_and_the_input_is_left_alone():
    given = GOOD.astype(np.int16)
    out = checked_corrections(given, (2, 3), [3, 7])
    out[:] = 5
    np.testing.assert_array_equal(given, GOOD)
    assert checked_corrections(GOOD.tolist(), (2, 3), [3, 7]).shape == (2, 3)


@pytest.mark.parametrize("shape", [(3, 2), (2, 4), (6,), (2, 3, 1)])
def test_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"The corrections have shape .* the image \(2, 3\)"):
        checked_corrections(np.zeros(shape, int), (2, 3), [1])


@pytest.mark.parametrize("dtype", [float, bool, complex])
def test_what_is_no_whole_number_is_refused(dtype):
    with pytest.raises(InputError, match="give whole numbers"):
        checked_corrections(np.zeros((2, 3), dtype), (2, 3), [1])


@pytest.mark.parametrize("value", [2, 255, -2, 65535, 2**40])
def test_a_value_that_is_no_class_is_refused(value):
    wrong = GOOD.copy()
    wrong[0, 0] = value
    with pytest.raises(InputError, match=f"The corrections hold {value}, which is neither"):
        checked_corrections(wrong, (2, 3), [3, 7])
