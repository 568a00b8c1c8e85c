"""Large pictures and stacks are opened, not read: zarr, OME-Zarr and TIFF."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr

from napari_wildseg.engine.classes import parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import read_labels
from napari_wildseg.io.formats.label_tiles import labels_on_disk
from napari_wildseg.io.lazy import open_lazily


def picture(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def stored(path, array, **options):
    zarr.create_array(path, data=array, **options)
    return path


@pytest.mark.parametrize(
    ("shape", "axes", "size", "planes", "channel"),
    [
        ((40, 50), "yx", (40, 50), 1, -1),
        ((40, 50, 3), "yxc", (40, 50), 1, -1),
        ((5, 40, 50), "tyx", (40, 50), 5, -1),
        ((5, 40, 50, 3), "tyxc", (40, 50), 5, -1),
        ((1, 40, 50), "yx", (40, 50), 1, -1),
    ],
)
def test_plain_zarr(tmp_path, shape, axes, size, planes, channel):
    array = picture(shape)
    opened = open_lazily(stored(tmp_path / "a.zarr", array, chunks=(1, 20, 20, 3)[: len(shape)]))
    assert (opened.axes, opened.size, opened.planes) == (axes, size, planes)
    assert opened.channel_axis == channel
    expected = array if planes > 1 else array.reshape(opened.levels[0].shape)[None]
    for number in range(planes):
        (plane,) = opened.plane(number)
        np.testing.assert_array_equal(np.asarray(plane[10:20, 5:9]), expected[number][10:20, 5:9])


def test_ome_zarr_with_levels_and_pixel_size(tmp_path):
    array = picture((3, 64, 96))
    group = zarr.open_group(tmp_path / "i.zarr", mode="w", zarr_format=2)
    for level, step in enumerate((1, 2)):
        group.create_array(str(level), data=array[:, ::step, ::step])
    unit = {"type": "space", "unit": "micrometer"}
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": "c"}, {"name": "y", **unit}, {"name": "x", **unit}],
            "datasets": [
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [1, 0.5 * step, 0.25 * step]}
                    ],
                }
                for level, step in enumerate((1, 2))
            ],
        }
    ]
    opened = open_lazily(tmp_path / "i.zarr")
    assert (opened.axes, opened.size, opened.channel_axis) == ("cyx", (64, 96), 0)
    assert len(opened.levels) == 2
    assert (opened.scale, opened.units) == ((0.5, 0.25), "micrometer")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_pyramid_and_stack(tmp_path, compression):
    array = picture((128, 160, 3))
    options = {"photometric": "rgb", "tile": (64, 64), "compression": compression}
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        writer.write(array, subifds=1, **options)
        writer.write(array[::2, ::2], subfiletype=1, **options)
    with open_lazily(tmp_path / "p.tif") as opened:
        assert [tuple(level.shape) for level in opened.levels] == [(128, 160, 3), (64, 80, 3)]
        np.testing.assert_array_equal(np.asarray(opened.levels[0][3:9, 4:8]), array[3:9, 4:8])
    stack = picture((4, 30, 40))
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", compression=compression)
    with open_lazily(tmp_path / "s.tif") as opened:
        assert (opened.planes, opened.size) == (4, (30, 40))
        np.testing.assert_array_equal(np.asarray(opened.plane(2)[0]), stack[2])


def test_what_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        open_lazily(tmp_path / "missing.tif")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="no picture that can be opened"):
        open_lazily(tmp_path / "empty.zarr")
    (tmp_path / "bad.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(InputError, match="not a TIFF"):
        open_lazily(tmp_path / "bad.tif")
    with pytest.raises(InputError, match="axes"):
        open_lazily(stored(tmp_path / "a.zarr", picture((2, 2, 2, 5, 5))))


def test_labels_written_piece_by_piece_are_read_as_any_others(tmp_path):
    labels = picture((2100, 1500), 1) % 3
    classes = parse_classes("cat, dog")
    path = tmp_path / "l.zarr"
    about = {"scale": (0.5, 0.5), "units": "micrometer", "image": "slide"}
    with labels_on_disk(path, labels.shape, classes, **about) as written:
        for top in range(0, 2100, 700):
            written.array[top : top + 700] = labels[top : top + 700]
        written.model, written.settings = "starter", {"threshold": 0.5}
        assert not path.exists()
    read = read_labels(path)
    np.testing.assert_array_equal(read.labels, labels)
    assert [c.name for c in read.classes] == ["cat", "dog"]
    assert (read.image, read.model, read.settings) == ("slide", "starter", {"threshold": 0.5})
    assert tuple(read.scale[-2:]) == (0.5, 0.5)
    group = zarr.open_group(path / "labels" / "wildseg", mode="r")
    assert group["1"].shape == (1050, 750)
    np.testing.assert_array_equal(group["1"][...], labels[::2, ::2])
    with pytest.raises(InputError, match="already there"), labels_on_disk(path, (5, 5), classes):
        pass


def test_labels_of_which_the_writing_failed_are_not_there(tmp_path):
    with (
        pytest.raises(RuntimeError),
        labels_on_disk(tmp_path / "l.zarr", (50, 50), parse_classes("cat")),
    ):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
