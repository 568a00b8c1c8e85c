"""Copies use memory again, but never any that somebody still looks at."""

import numpy as np

from napari_wildseg.gui.scratch import Scratch, same


def where(array):
    return array.__array_interface__["data"][0]


def test_memory_of_a_copy_that_is_gone_is_used_again():
    scratch = Scratch()
    data = np.arange(600 * 500, dtype=np.uint8).reshape(600, 500)
    first = scratch.copy(data)
    assert np.array_equal(first, data)
    assert not np.shares_memory(first, data)
    place = where(first)
    del first
    assert where(scratch.copy(data + 1)) == place
    assert where(scratch.copy(data[:10])) != place  # another size


def test_a_copy_somebody_holds_a_view_of_is_left_alone():
    scratch = Scratch()
    ones = scratch.copy(np.ones((30, 40), np.uint8))
    row = ones[3]
    del ones
    copies = [scratch.copy(np.full((30, 40), value, np.uint8)) for value in (2, 3, 4)]
    assert (row == 1).all()
    assert [int(copy[0, 0]) for copy in copies] == [2, 3, 4]


def test_of_strided_data_and_other_number_types():
    scratch = Scratch()
    data = np.arange(24, dtype=np.int32).reshape(4, 6)[::2, ::-1]
    assert np.array_equal(scratch.copy(data), data)
    assert scratch.copy(data).dtype == np.int32


def test_same_sees_a_single_pixel():
    one = np.zeros((1000, 3), np.uint8)
    other = one.copy()
    assert same(one, other)
    other[999, 2] = 1
    assert not same(one, other)
    assert not same(one, other[:999])
