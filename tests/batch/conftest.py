"""Folders of tiny pictures, some of them broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.batch.journal import Journal


@pytest.fixture
def settings(light_model):
    """Settings with which an image takes a hundredth of a second."""
    from napari_wildseg.batch import BatchSettings

    return BatchSettings(model=light_model, views="single")


def write_pictures(folder: Path, count: int, broken: int = 0) -> Path:
    """Fill a folder: ``00.png`` ..., evenly mixed with files that are no pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    every = count // broken if broken else count + 1
    for number in range(count):
        path = folder / f"{number:03}.png"
        if number % every == every - 1:
            path.write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
            continue
        rows, columns = random.integers(16, 28, 2)
        picture = np.full((rows, columns, 3), random.integers(0, 255, 3), np.uint8)
        picture[4:12, 4:12] = random.integers(0, 255, 3)
        Image.fromarray(picture).save(path)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files under a folder, hidden ones too, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def done_by_journal(folder: Path) -> set[str]:
    """The images noted as done; broken ones are tried again and torn lines do not count."""
    journal = Journal(folder)
    journal.close()
    return {name for name, record in journal.records.items() if not record.failure}
