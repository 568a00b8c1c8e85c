"""Picture files and samples into arrays."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import (
    count_planes,
    read_picture,
    split_plane,
    stem_of,
)
from napari_wildseg.engine.pictures.samples import SAMPLE_PICTURES, load_sample

RAMP = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_pictures_come_upright(tmp_path, orientation, ending):
    """As Pillow's own exif_transpose turns them, checked against the numpy way."""
    path = tmp_path / f"x.{ending}"
    if ending == "tif":
        tifffile.imwrite(path, RAMP, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(RAMP).save(path, exif=exif)
    turn = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: np.rot90,
    }[orientation]
    assert (read_picture(path) == turn(RAMP)).all()


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("1", (6, 10)),
        ("L", (6, 10)),
        ("I;16", (6, 10)),
        ("RGB", (6, 10, 3)),
        ("RGBA", (6, 10, 4)),
        ("LA", (6, 10, 4)),
        ("P", (6, 10, 3)),
    ],
)
def test_modes(tmp_path, mode, shape):
    source = Image.fromarray(RAMP)
    picture = Image.fromarray(RAMP[..., 0].astype(np.uint16) * 200)
    if mode != "I;16":
        picture = source.convert(mode)
    picture.save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png").shape == shape


def test_cmyk_becomes_rgb(tmp_path):
    Image.fromarray(RAMP).convert("CMYK").save(tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg").shape == (6, 10, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_depths(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "x.tif", RAMP[..., 0].astype(dtype))
    found = read_picture(tmp_path / "x.tif")
    assert found.dtype == dtype
    assert (found == RAMP[..., 0]).all()


def test_planar_tiff(tmp_path):
    planes = np.moveaxis(RAMP, -1, 0)
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate")
    assert (read_picture(tmp_path / "x.tif") == RAMP).all()


def test_stacks_and_animations_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((5, 6, 7), np.uint8))
    with pytest.raises(InputError, match=r"x\.tif holds 5 planes"):
        read_picture(tmp_path / "x.tif")
    frames = [Image.new("L", (4, 4), n * 80) for n in range(3)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"x\.gif holds 3 frames"):
        read_picture(tmp_path / "x.gif")


def test_one_plane_stacks_are_taken(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((1, 6, 7), np.uint8))
    assert read_picture(tmp_path / "x.tif").shape == (6, 7)


def huge_png(side):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [15_000, 90_000])
def test_huge_pictures_are_refused_before_decoding(tmp_path, side):
    (tmp_path / "x.png").write_bytes(huge_png(side))
    with pytest.raises(InputError, match="200 megapixels"):
        read_picture(tmp_path / "x.png")


def test_damaged_files_are_one_sentence(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        tmp_path / "whole.png"
    )
    tifffile.imwrite(tmp_path / "whole.tif", RAMP)
    for ending in ("png", "tif"):
        data = (tmp_path / f"whole.{ending}").read_bytes()
        (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) // 2])
        (tmp_path / f"text.{ending}").write_text("hello")
        (tmp_path / f"empty.{ending}").write_bytes(b"")
        for name in ("cut", "text", "empty", "missing"):
            with pytest.raises(InputError) as caught:
                read_picture(tmp_path / f"{name}.{ending}")
            assert "\n" not in str(caught.value)
            assert f"{name}.{ending}" in str(caught.value)
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize("name", SAMPLE_PICTURES)
def test_samples_are_there_without_a_network(name):
    image = read_picture(f"sample:{name}")
    assert image.dtype == np.uint8
    assert min(image.shape[:2]) >= 200
    assert image.flags.c_contiguous


def test_unknown_samples_name_the_known():
    with pytest.raises(InputError, match="coffee, chelsea"):
        load_sample("unicorn")


def test_stems():
    assert stem_of("sample:coffee") == "coffee"
    assert stem_of("a/b c.v2.jpg") == "b c.v2"


@pytest.mark.parametrize("shape", [(3, 6, 10), (2, 3, 6, 10), (3, 6, 10, 3)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_a_stack(tmp_path, shape, compression):
    stack = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    photometric = "rgb" if shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric=photometric, compression=compression)
    planes = stack.reshape(-1, *shape[-3 if shape[-1] == 3 else -2 :])
    assert count_planes(tmp_path / "s.tif") == len(planes)
    for number, plane in enumerate(planes):
        np.testing.assert_array_equal(read_picture(f"{tmp_path}/s.tif#{number}"), plane)
    with pytest.raises(InputError, match=f"no plane {len(planes)}"):
        read_picture(f"{tmp_path}/s.tif#{len(planes)}")
    assert stem_of(f"{tmp_path}/s.tif#2") == "s_0002"


def test_a_file_may_have_a_number_sign_in_its_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif#1", RAMP[..., 0])
    assert split_plane(tmp_path / "a.tif#1") == (tmp_path / "a.tif#1", None)
    assert count_planes(tmp_path / "missing.tif") == 1
