"""A light model on disk and folders of tiny pictures, some of them broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import save_file

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16
    },
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}  # fmt: skip


@pytest.fixture(scope="session")
def light_model(tmp_path_factory) -> str:
    """Model string of a small CLIP with random weights, which other processes can load too."""
    path = tmp_path_factory.mktemp("light")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = CLIP(**CONFIG).state_dict()
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    save_file(weights, path / "open_clip_model.safetensors")
    return f"local-dir:{path}"


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
