"""Encodings come back as they were put, only for the same image, weights, method and views."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.disk_cache import EncodingCache, encoding_key
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.attention import AttentionRelevance
from napari_wildseg.engine.relevance.dense import DenseRelevance


def encodings(seed: int, side: int = 8) -> list[ViewEncoding]:
    torch.manual_seed(seed)
    last = torch.randn(5, side, side)
    return [
        ViewEncoding(
            tensors={"last": last, "grid": torch.tensor([side, side]), "a/b": torch.randn(2, 3)},
            features=[torch.randn(4, 2, 2), last, torch.randn(3, side, side).transpose(1, 2)],
            embedding=torch.randn(7),
        )
        for _ in range(12)
    ]


def assert_equal(one: list[ViewEncoding], other: list[ViewEncoding]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.tensors.keys() == b.tensors.keys()
        for name in a.tensors:
            assert a.tensors[name].dtype == b.tensors[name].dtype
            assert torch.equal(a.tensors[name], b.tensors[name])
        assert [torch.equal(f, g) for f, g in zip(a.features, b.features, strict=True)] == [
            True
        ] * 3
        assert torch.equal(a.embedding, b.embedding)


def fake_model(fingerprint: str = "w") -> CLIPModel:
    return CLIPModel(
        name="fake",
        network=torch.nn.Linear(1, 1),
        tokenizer=lambda texts: torch.zeros(1),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        templates=("{}",),
        device=torch.device("cpu"),
        fingerprint=fingerprint,
    )


def test_key_depends_on_all_that_an_encoding_depends_on():
    image = np.zeros((4, 6, 3), np.uint8)
    changed = image.copy()
    changed[3, 5, 2] = 1
    model, method = fake_model(), AttentionRelevance()
    keys = [
        encoding_key(image, model, method, "default"),
        encoding_key(changed, model, method, "default"),
        encoding_key(image.reshape(6, 4, 3), model, method, "default"),
        encoding_key(image, fake_model("other"), method, "default"),
        encoding_key(image, model, AttentionRelevance(-2), "default"),
        encoding_key(image, model, DenseRelevance(), "default"),
        encoding_key(image, model, method, "best"),
    ]
    assert len(set(keys)) == len(keys)
    assert encoding_key(image.copy(), fake_model(), AttentionRelevance(), "default") == keys[0]
    flipped = np.asfortranarray(image)
    assert encoding_key(flipped, model, method, "default") == keys[0]


def test_memory_gives_back_the_same_objects():
    cache, views = EncodingCache(), encodings(0)
    assert cache.get("a") is None
    cache.put("a", views)
    again = cache.get("a")
    assert all(x is y for x, y in zip(again, views, strict=True))
    again.clear()
    assert len(cache.get("a")) == 12


def test_memory_drops_the_least_recently_used():
    size = sum(v.nbytes for v in encodings(0))
    cache = EncodingCache(memory_bytes=2 * size)
    for key, seed in (("a", 0), ("b", 1)):
        cache.put(key, encodings(seed))
    cache.get("a")
    cache.put("c", encodings(2))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None
    assert cache.held_bytes <= 2 * size
    cache.put("large", encodings(3, side=64))
    assert cache.get("large") is None
    assert cache.get("a") is not None, "what does not fit must not drive out what does"


def test_disk_gives_back_equal_encodings_to_another_process(tmp_path):
    EncodingCache(folder=tmp_path / "kept").put("k", encodings(0))
    fresh = EncodingCache(folder=tmp_path / "kept")
    assert_equal(fresh.get("k"), encodings(0))
    assert fresh.held_bytes > 0
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["k.safetensors"]


def test_disk_drops_the_least_recently_used(tmp_path):
    cache = EncodingCache(memory_bytes=0, folder=tmp_path)
    for i, key in enumerate("abc"):
        cache.put(key, encodings(i))
        os.utime(tmp_path / f"{key}.safetensors", ns=(i * 10**9, i * 10**9))
    assert cache.get("a") is not None  # used just now
    cache.disk_bytes = int(3.5 * (tmp_path / "a.safetensors").stat().st_size)
    cache.put("d", encodings(3))
    assert {p.stem for p in tmp_path.iterdir()} == {"a", "c", "d"}


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_file_is_no_entry_and_goes(tmp_path, content):
    cache = EncodingCache(memory_bytes=0, folder=tmp_path)
    cache.put("k", encodings(0))
    path = tmp_path / "k.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert cache.get("k") is None
    assert not path.exists()
    cache.put("k", encodings(0))
    assert_equal(cache.get("k"), encodings(0))


def test_folder_that_cannot_be_written_leaves_memory(tmp_path):
    blocked = tmp_path / "file"
    cache = EncodingCache(folder=blocked / "kept")
    blocked.write_text("in the way")
    cache.put("k", encodings(0))
    assert cache.get("k") is not None


def test_file_in_place_of_the_folder_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    for folder in (file, file / "kept"):
        with pytest.raises(InputError, match=r"file is a file, not a folder: choose another"):
            EncodingCache(folder=folder)
    assert file.read_text() == "in the way"


def test_full_disk_leaves_no_part_and_no_error(tmp_path):
    resource = pytest.importorskip("resource")
    cache = EncodingCache(folder=tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        cache.put("k", encodings(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert cache.get("k") is not None


def test_clear(tmp_path):
    cache = EncodingCache(folder=tmp_path)
    cache.put("k", encodings(0))
    cache.clear()
    assert cache.get("k") is None
    assert list(tmp_path.iterdir()) == []
