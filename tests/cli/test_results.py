"""The files of a result: all of them, or none that would be in the way."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wildseg.cli.result_files import check_outputs, result_paths, write_results
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.io import LabelImage, read_labels

RGB = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("written", range(4))
def test_a_disk_that_fills_up_leaves_nothing_in_the_way(tmp_path, monkeypatch, written):
    """Wherever the room ends: picture, labels, description or the plan of renames."""
    from napari_wildseg.io import atomic

    real, left = atomic.sync, iter([None] * written)

    def full(path):
        if next(left, "full") == "full":
            raise OSError(28, "No space left on device")
        real(path)

    paths = result_paths(tmp_path, "x")
    labels = LabelImage.from_array(np.ones((8, 8), np.uint8))
    monkeypatch.setattr(atomic, "sync", full)
    with pytest.raises(WildsegError, match="no space left"):
        write_results(paths, RGB, labels, overwrite=False)
    monkeypatch.undo()
    left_over = [path for path in tmp_path.iterdir() if path.name != "x.png"]
    if not (tmp_path / "x.png").exists():
        assert not left_over
        check_outputs(paths, [], overwrite=False)
        write_results(paths, RGB, labels, overwrite=False)
    assert (read_labels(tmp_path / "x.png").labels == 1).all()


def test_what_is_read_is_not_replaced(tmp_path):
    paths = result_paths(tmp_path, "x")
    for name in ("x.png", "x.json", "x.overlay.png"):
        (tmp_path / name).write_bytes(b"mine")
        with pytest.raises(InputError, match="while it is read"):
            check_outputs(paths, [tmp_path / name], overwrite=True)
    with pytest.raises(InputError, match="is no such file"):
        check_outputs(paths, [], overwrite=True)
