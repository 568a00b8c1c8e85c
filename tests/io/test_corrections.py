"""Corrections in files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from napari_wildseg.engine.errors import InputError
from napari_wildseg.io.corrections_file import read_corrections, write_corrections


@given(
    arrays(
        np.int16,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([-1, 0, 1, 7, 254]),
    ),
    st.sampled_from([".png", ".npy"]),
)
def test_corrections_come_back(tmp_path_factory, corrections, ending):
    path = tmp_path_factory.mktemp("c") / f"c{ending}"
    write_corrections(path, corrections)
    found = read_corrections(path, corrections.shape)
    assert found.dtype == np.int16
    assert (found == corrections).all()


def test_png_values_are_as_stated(tmp_path):
    write_corrections(tmp_path / "c.png", np.array([[-1, 0, 3]], np.int16))
    with Image.open(tmp_path / "c.png") as picture:
        assert np.array(picture).tolist() == [[65535, 0, 3]]


def test_other_integers_are_taken(tmp_path):
    np.save(tmp_path / "c.npy", np.array([[-1, 2]], np.int64))
    assert read_corrections(tmp_path / "c.npy", (1, 2)).tolist() == [[-1, 2]]


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 3), np.int16), "shape"),
        (np.full((2, 2), 255, np.int16), "values from 255"),
        (np.full((2, 2), -2, np.int16), "values from -2"),
        (np.zeros((2, 2)), "integers"),
        (np.zeros((2, 2, 1), np.int16), r"\(H, W\)"),
        (np.zeros((0, 2), np.int16), r"\(H, W\)"),
    ],
)
def test_unusable_arrays(tmp_path, array, sentence):
    np.save(tmp_path / "c.npy", array)
    with pytest.raises(InputError, match=sentence):
        read_corrections(tmp_path / "c.npy", (2, 2))


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "c.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(InputError, match="not an .npy that can be read"):
        read_corrections(tmp_path / "c.npy", (1, 1))


def test_a_header_that_promises_too_much(tmp_path):
    good = tmp_path / "good.npy"
    np.save(good, np.zeros((2, 2), np.int16))
    (tmp_path / "c.npy").write_bytes(good.read_bytes().replace(b"(2, 2), }", b"(99999, 99999), }"))
    with pytest.raises(InputError):
        read_corrections(tmp_path / "c.npy", (2, 2))
