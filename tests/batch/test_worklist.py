"""Which images a batch works on, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_wildseg.batch.plan.worklist import list_images, named
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures import read_picture

from .conftest import write_pictures


def names(source):
    return [item.name for item in list_images(source)]


def test_a_folder_gives_its_pictures_in_order(tmp_path):
    write_pictures(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    (tmp_path / "deeper").mkdir()
    assert names(tmp_path) == ["000", "001", "002"]


def test_a_set_gives_the_pictures_in_images(tmp_path):
    write_pictures(tmp_path / "images", 2)
    write_pictures(tmp_path / "masks", 2)
    assert names(tmp_path) == ["000", "001"]


def test_a_pattern_reaches_into_folders(tmp_path):
    write_pictures(tmp_path / "a", 2)
    write_pictures(tmp_path / "b", 1)
    assert names(str(tmp_path / "**" / "*.png")) == ["a_000", "001", "b_000"]


def test_a_list_is_relative_to_its_folder_and_keeps_its_order(tmp_path):
    write_pictures(tmp_path / "p", 3)
    (tmp_path / "list.txt").write_text("# mine\np/002.png\n\np/000.png\np/002.png\nmissing.png\n")
    items = list_images(tmp_path / "list.txt")
    assert [item.name for item in items] == ["002", "000", "missing"]
    assert items[0].path == str(tmp_path / "p" / "002.png")
    (tmp_path / "list.csv").write_text("image,who\np/001.png,me\n")
    assert names(tmp_path / "list.csv") == ["001"]


def test_one_picture_is_a_batch(tmp_path):
    write_pictures(tmp_path, 1)
    assert names(tmp_path / "000.png") == ["000"]


@pytest.mark.parametrize(
    ("source", "words"),
    [("nothing", "There is no"), ("*.jpg", "No picture matches"), (".", "holds no pictures")],
)
def test_it_says_what_is_wrong(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        list_images(source)


def test_names_are_different_whatever_the_paths():
    paths = ["/a/x/1.png", "/b/x/1.png", "/b/x/1.jpg", "/c/REPORT.png", "/c/X_1.png", "/c/q?.png"]
    found = [item.name for item in named(paths)]
    assert len({name.casefold() for name in found}) == len(paths)
    assert "report" not in [name.casefold() for name in found]
    assert not any(letter in name for name in found for letter in '/\\:*?"<>|')


def test_a_name_once_given_stays():
    first = named(["/d/b/cat.png"])
    again = named(["/d/a/cat.png", "/d/b/cat.png"], {first[0].path: first[0].name})
    assert [item.name for item in again] == ["a_cat", "cat"]


def test_planes_of_a_stack_are_images(tmp_path):
    tifffile.imwrite(
        tmp_path / "movie.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack"
    )
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((8, 9), np.uint8))
    items = list_images(tmp_path)
    assert [item.name for item in items] == ["movie_0000", "movie_0001", "movie_0002", "one"]
    assert [read_picture(item.path).shape for item in items] == [(8, 9)] * 4
