"""What is said of a folder that is not one is true of it."""

import os
from pathlib import Path

import pytest

from napari_wildseg.engine.folders import file_in_the_way, folder_error


def test_a_file_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "file").touch()
    for below in ("", "more", "more/of it"):
        path = tmp_path / "file" / below
        assert folder_error(path) == f"{tmp_path / 'file'} is a file, not a folder"


def test_what_is_missing_is_said_to_be(tmp_path):
    path = tmp_path / "none" / "more"
    assert folder_error(path, " with masks") == f"There is no folder {path} with masks"


@pytest.mark.parametrize("name", ["nul\0", "long" * 100])
def test_names_that_no_folder_can_have(tmp_path, name):
    assert file_in_the_way(tmp_path / name / "more") is None
    assert folder_error(tmp_path / name).startswith("There is no folder")


def test_a_folder_that_another_thread_makes_meanwhile_is_no_file(tmp_path, monkeypatch):
    made, is_dir = tmp_path / "made", Path.is_dir

    def just_before(path):
        found = is_dir(path)
        os.makedirs(made, exist_ok=True)  # noqa: PTH103  Path.mkdir asks is_dir itself
        return found

    monkeypatch.setattr(Path, "is_dir", just_before)
    assert file_in_the_way(made) is None
