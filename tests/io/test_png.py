"""Indexed PNG and its sidecar."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.errors import InputError
from napari_wildseg.io import LabelImage, read_labels, write_labels

from .strategies import label_images

CAT = ClassInfo(1, "cat", ("cat", "kitten"), (200, 10, 30))


def cat_labels():
    labels = np.zeros((6, 9), np.uint8)
    labels[2:4, 3:7] = 1
    labels[0] = 255
    return LabelImage(labels, (CAT,), image="photo", model="starter")


@given(label_images())
def test_everything_comes_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("png") / "x.png"
    assert write_labels(path, labels) == [path, path.with_suffix(".json")]
    found = read_labels(path)
    assert (found.labels == labels.labels).all()
    assert found.about() == labels.about()
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert (np.array(picture) == labels.labels).all()
        palette = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        for info in labels.classes:
            if (labels.labels == info.id).any():
                assert tuple(palette[info.id].tolist()) == info.colour


def test_the_same_labels_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / "x.png", cat_labels())
    for name in ("x.png", "x.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_a_sidecar_the_palette_tells_the_colours(tmp_path):
    write_labels(tmp_path / "x.png", cat_labels())
    (tmp_path / "x.json").unlink()
    (info,) = read_labels(tmp_path / "x.png").classes
    assert info == ClassInfo(1, "class 1", ("class 1",), CAT.colour)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_grey_pngs_of_other_programs(tmp_path, dtype):
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    Image.fromarray(values).save(tmp_path / "x.png")
    assert (read_labels(tmp_path / "x.png").labels == values).all()


def test_labels_beyond_eight_bits_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 300]], np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="300; only 0 to 255"):
        read_labels(tmp_path / "x.png")


def test_pictures_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="colour picture"):
        read_labels(tmp_path / "x.png")


def test_a_sidecar_of_another_image_is_refused(tmp_path):
    write_labels(tmp_path / "x.png", cat_labels())
    about = json.loads((tmp_path / "x.json").read_text("utf-8"))
    about["image_size"]["width"] = 10
    (tmp_path / "x.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="another size"):
        read_labels(tmp_path / "x.png")


def test_damaged_files_are_refused(tmp_path):
    write_labels(tmp_path / "x.png", cat_labels())
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for name in ("cut", "text", "empty", "folder", "missing"):
        with pytest.raises(InputError):
            read_labels(tmp_path / f"{name}.png")


def test_a_huge_declared_size_is_refused_before_decoding(tmp_path):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    (tmp_path / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    with pytest.raises(InputError, match="more than 200 megapixels"):
        read_labels(tmp_path / "bomb.png")


def test_unknown_endings_name_the_known(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        read_labels(tmp_path / "x.docx")
    with pytest.raises(InputError, match="choose from png"):
        read_labels(tmp_path / "x.png", format="bmp")
