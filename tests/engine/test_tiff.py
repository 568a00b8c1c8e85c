"""TIFF pictures of every colour model have the colours that other programs show."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.rgb import as_rgb
from napari_wildseg.engine.pictures.picture_files import count_planes, read_picture
from napari_wildseg.io.image_files import open_large, planes_in
from napari_wildseg.io.lazy import open_lazily

SHAPE = (40, 60)
RED = (220, 30, 20)


def picture(colour: tuple[int, ...] = RED, dtype: Any = np.uint8) -> np.ndarray:
    """Return a picture of one colour with a black corner, so that turned axes would show."""
    array = np.empty((*SHAPE, len(colour)), dtype)
    array[:] = colour
    array[:8, :20] = 0
    return array


def lazily(path: Path) -> np.ndarray:
    """Read through the lazy path, a corner at a time."""
    with open_lazily(path) as opened:
        level = opened.plane(0)[0]
        if opened.channel_axis == 0:
            parts = [np.moveaxis(np.asarray(level[:, a, :]), 0, -1) for a in halves()]
        else:
            parts = [np.asarray(level[a, slice(None)]) for a in halves()]
        return np.concatenate(parts)


def halves() -> tuple[slice, slice]:
    """Rows in two parts."""
    return slice(0, 20), slice(20, 40)


def with_pillow(mode: str) -> Any:
    """Return a writer of a colour model through Pillow."""

    def write(path: Path) -> None:
        image = Image.fromarray(picture((220, 30, 20)))
        if mode == "P":
            image = image.quantize(4)
        elif mode == "LAB":
            srgb, lab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
            image = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        else:
            image = image.convert(mode)
        image.save(path)

    return write


def with_tifffile(array: np.ndarray, **options: Any) -> Any:
    """Return a writer of samples as they are."""
    return lambda path: tifffile.imwrite(path, array, **options)


def inks(*more: int) -> np.ndarray:
    """Return CMYK of red, in a picture without a corner."""
    return np.broadcast_to(np.array([35, 225, 235, 0, *more], np.uint8), (*SHAPE, 4 + len(more)))


def flat(*samples: int, dtype: Any = np.uint8) -> np.ndarray:
    """Return samples of one colour."""
    return np.ascontiguousarray(np.broadcast_to(np.array(samples, dtype), (*SHAPE, len(samples))))


HALF = np.full(SHAPE, 128, np.uint8)
OVER = (238, 142, 137)  # red, half transparent, over white
CASES = {
    "cmyk": (with_pillow("CMYK"), RED, 2),
    "palette": (with_pillow("P"), RED, 2),
    "ycbcr": (with_pillow("YCbCr"), RED, 4),
    "lab": (with_pillow("LAB"), RED, 4),
    "white is zero": (
        with_tifffile(np.full(SHAPE, 10, np.uint8), photometric="miniswhite"),
        (245, 245, 245),
        0,
    ),
    "rgb and infrared": (
        with_tifffile(flat(*RED, 60), photometric="rgb", extrasamples=["unspecified"]),
        RED,
        0,
    ),
    "planar rgb and infrared": (
        with_tifffile(
            np.moveaxis(flat(*RED, 60), -1, 0).copy(),
            photometric="rgb",
            planarconfig="separate",
            extrasamples=["unspecified"],
        ),
        RED,
        0,
    ),
    "five bands": (
        with_tifffile(flat(*RED, 60, 90), photometric="rgb", extrasamples=["unspecified"] * 2),
        RED,
        0,
    ),
    "infrared before alpha": (
        with_tifffile(
            flat(*RED, 60, 128), photometric="rgb", extrasamples=["unspecified", "unassalpha"]
        ),
        OVER,
        1,
    ),
    "alpha": (
        with_tifffile(flat(*RED, 128), photometric="rgb", extrasamples=["unassalpha"]),
        OVER,
        1,
    ),
    "alpha multiplied in": (
        with_tifffile(flat(110, 15, 10, 128), photometric="rgb", extrasamples=["assocalpha"]),
        OVER,
        2,
    ),
    "grey and alpha": (
        with_tifffile(flat(90, 255), photometric="minisblack", extrasamples=["unassalpha"]),
        (90, 90, 90),
        0,
    ),
    "cmyk and alpha": (
        with_tifffile(inks(128).copy(), photometric="separated", extrasamples=["unassalpha"]),
        OVER,
        1,
    ),
    "lzw": (
        with_tifffile(flat(*RED), photometric="rgb", compression="lzw", predictor=True),
        RED,
        0,
    ),
    "jpeg": (
        lambda path: Image.fromarray(flat(*RED)).save(path, compression="jpeg"),
        RED,
        3,
    ),
    "jpeg tiles": (
        with_tifffile(flat(*RED), photometric="rgb", compression="jpeg", tile=(16, 16)),
        RED,
        3,
    ),
    "jpeg 2000": (with_tifffile(flat(*RED), photometric="rgb", compression="jpeg2000"), RED, 1),
    "packbits": (with_tifffile(flat(*RED), photometric="rgb", compression="packbits"), RED, 0),
    "zstd": (with_tifffile(flat(*RED), photometric="rgb", compression="zstd"), RED, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_colours_are_those_that_other_programs_show(tmp_path: Path, case: str):
    """Read whole and read lazily, the colour is right, and the two are the same."""
    write, colour, tolerance = CASES[case]
    path = tmp_path / "a.tif"
    write(path)
    read = as_rgb(read_picture(path))
    assert read.shape == (*SHAPE, 3)
    assert np.abs(read[30, 40].astype(int) - colour).max() <= tolerance
    np.testing.assert_array_equal(read, as_rgb(lazily(path)))
    assert count_planes(path) == planes_in(path) == 1


@pytest.mark.parametrize("case", ["CMYK", "P", "YCbCr", "LAB"])
def test_places_stay_where_they_are(tmp_path: Path, case: str):
    """Conversion moves no pixel: the black corner is where it was."""
    with_pillow(case)(tmp_path / "a.tif")
    read = as_rgb(read_picture(tmp_path / "a.tif"))
    np.testing.assert_array_less(read[:8, :20], 12)
    assert read[8:, :, 0].min() > 200
    assert read[:, 20:, 0].min() > 200


def test_sixteen_bits_are_converted_at_their_own_depth(tmp_path: Path):
    """CMYK and white-is-zero of 16 bits keep their depth."""
    deep = (inks().astype(np.uint16) * 257).copy()
    tifffile.imwrite(tmp_path / "c.tif", deep, photometric="separated")
    read = read_picture(tmp_path / "c.tif")
    assert read.dtype == np.uint16
    assert np.abs(read[0, 0] / 257 - RED).max() < 1
    tifffile.imwrite(tmp_path / "w.tif", np.full(SHAPE, 9, np.uint16), photometric="miniswhite")
    assert read_picture(tmp_path / "w.tif")[0, 0] == 65526


def test_few_bits_reach_white(tmp_path: Path):
    """Grey of one bit and of four bits is spread over bytes; ones may be black."""
    sign = np.zeros((16, 32), bool)
    sign[:, 8:] = True
    Image.fromarray(sign).save(tmp_path / "fax.tif", compression="group4")
    assert as_rgb(read_picture(tmp_path / "fax.tif"))[0, ::31, 0].tolist() == [0, 255]
    tifffile.imwrite(tmp_path / "w.tif", sign, photometric="miniswhite")
    assert as_rgb(read_picture(tmp_path / "w.tif"))[0, ::31, 0].tolist() == [255, 0]
    data = bytes([0x0F, 0xA5] * 8)
    _tiff(tmp_path / "four.tif", data, [(256, 4), (257, 8), (258, 4), (262, 1), (277, 1)])
    assert read_picture(tmp_path / "four.tif")[0].tolist() == [0, 255, 170, 85]


@pytest.mark.parametrize(
    ("samples", "options", "words"),
    [
        (2, {"photometric": "minisblack"}, "2 samples a pixel"),
        (4, {"photometric": "minisblack"}, "4 samples a pixel"),
        (5, {"photometric": "minisblack"}, "5 samples a pixel"),
        (3, {"photometric": "itulab"}, "ITULAB"),
        (1, {"photometric": "cfa"}, "CFA"),
        (3, {"photometric": "rgb", "compression": "lerc"}, "LERC"),
    ],
)
def test_what_is_not_supported_is_one_sentence(tmp_path, samples, options, words):
    """Colours that cannot be told, and codecs that are not bounded, are refused by name."""
    array = flat(*[90] * samples) if samples > 1 else np.full(SHAPE, 9, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, planarconfig="contig", **options)
    for read in (read_picture, open_lazily):
        with pytest.raises(InputError, match=words):
            read(tmp_path / "a.tif")


def test_several_inks_other_than_cmyk_are_refused(tmp_path: Path):
    """A separation of other inks names no colours."""
    tifffile.imwrite(
        tmp_path / "a.tif", inks().copy(), photometric="separated", extratags=[(332, "H", 1, 2)]
    )
    with pytest.raises(InputError, match="SEPARATED"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("axes", "shape", "planes", "plane_shape"),
    [
        ("CYX", (3, 40, 60), 1, (40, 60, 3)),
        ("CYX", (4, 40, 60), 4, (40, 60)),
        ("ZCYX", (5, 3, 40, 60), 5, (40, 60, 3)),
        ("ZCYX", (5, 2, 40, 60), 10, (40, 60)),
        ("ZCYX", (5, 4, 40, 60), 20, (40, 60)),
        ("TZCYX", (2, 2, 3, 40, 60), 4, (40, 60, 3)),
        ("CZYX", (3, 5, 40, 60), 5, (40, 60, 3)),
    ],
)
def test_planes_are_the_same_however_a_stack_is_read(tmp_path, axes, shape, planes, plane_shape):
    """What `batch` counts and reads is what `segment` opens, plane by plane."""
    path = tmp_path / "stack.ome.tif"
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    tifffile.imwrite(path, values, ome=True, photometric="minisblack", metadata={"axes": axes})
    assert count_planes(path) == planes_in(path) == planes
    with open_lazily(path) as opened:
        assert opened.planes == planes
        for number in range(planes):
            eager = read_picture(path if planes == 1 else f"{path}#{number}")
            assert eager.shape == plane_shape
            lazy = np.asarray(opened.plane(number)[0])
            lazy = np.moveaxis(lazy, 0, -1) if opened.channel_axis == 0 else lazy
            np.testing.assert_array_equal(lazy, eager)


def test_four_channels_of_imagej_are_looked_at_singly(tmp_path: Path):
    """The fourth channel of a microscope is no alpha."""
    path = tmp_path / "channels.tif"
    values = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, *SHAPE), np.uint8) * 60
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match="4 planes"):
        read_picture(path)
    assert read_picture(f"{path}#3")[0, 0] == 180
    opened = open_large(path)
    assert opened is not None
    with opened:
        assert opened.planes == 4


def test_thumbnails_are_no_planes(tmp_path: Path):
    """A reduced copy behind the picture is left out, whichever way it is read."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(picture(), photometric="rgb")
        file.write(picture()[::4, ::4], photometric="rgb", subfiletype=1)
    assert count_planes(path) == 1
    np.testing.assert_array_equal(read_picture(path), picture())


def test_pages_of_different_sizes_are_planes(tmp_path: Path):
    """Each page is read in its own size."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(picture(), photometric="rgb")
        file.write(picture()[:20, :, 0], photometric="miniswhite")
    assert count_planes(path) == 2
    assert read_picture(f"{path}#0").shape == (40, 60, 3)
    assert read_picture(f"{path}#1")[10, 30] == 35


def _tiff(path: Path, data: bytes, tags: list[tuple[int, int]]) -> None:
    """Write a TIFF of one strip by hand."""
    entries = sorted([*tags, (273, 0), (279, len(data))])
    at = 8 + 2 + 12 * len(entries) + 4
    out = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries:
        out += struct.pack("<HHII", tag, 4, 1, at if tag == 273 else value)
    path.write_bytes(out + b"\0\0\0\0" + data)


def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(size // 10)) for _ in range(10)) + packer.flush()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("compression", ["deflate", "jpeg", "jpeg 2000"])
def test_strips_that_unpack_to_more_are_refused(tmp_path: Path, compression: str, lazy: bool):
    """A strip of a small picture that unpacks to hundreds of megabytes is not unpacked."""
    path = tmp_path / "a.tif"
    tags = [(256, 64), (257, 64), (258, 8), (262, 1), (277, 1), (278, 64)]
    if compression == "deflate":
        _tiff(path, _bomb(300_000_000), [*tags, (259, 8)])
    elif compression == "jpeg":
        head = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xda"
        _tiff(path, head + bytes(100), [*tags, (259, 7)])
    else:
        head = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + b"\x00\x01\x00\x00" * 2 + bytes(60)
        _tiff(path, head, [*tags, (259, 34712)])
    with pytest.raises(InputError, match=r"unpacks to far more|not a TIFF"):
        lazily(path) if lazy and compression != "deflate" else read_picture(path)


def test_more_bytes_than_memory_should_hold_are_refused_before_they_are_read(tmp_path: Path):
    """Many samples of a size that is allowed are still too much."""
    tags = [(256, 14000), (257, 14000), (258, 64), (262, 1), (277, 1), (278, 14000), (339, 3)]
    _tiff(tmp_path / "a.tif", b"\0" * 64, [*tags, (259, 1)])
    with pytest.raises(InputError):
        read_picture(tmp_path / "a.tif")
    tags = [(256, 14000), (257, 14000), (258, 16), (262, 2), (277, 8), (278, 14000), (259, 1)]
    _tiff(tmp_path / "b.tif", b"\0" * 64, tags)
    with pytest.raises(InputError):
        read_picture(tmp_path / "b.tif")
