"""What is listed: the recommended models, and what was downloaded besides."""

from __future__ import annotations

import pytest

from napari_wildseg.engine.models.catalogue import CATALOGUE, downloaded_models
from napari_wildseg.engine.models.spec import parse_spec
from napari_wildseg.engine.models.weights.download import OPEN_CLIP_CONFIG


def store(cache, model, config=None):
    """Pretend that a model was downloaded."""
    spec = parse_spec(model)
    folder = cache / spec.repository.replace("/", "--")
    folder.mkdir(parents=True)
    (folder / spec.weights[0]).write_bytes(bytes(3_000_000))
    if config is not None:
        (folder / OPEN_CLIP_CONFIG).write_text(config)
    return folder


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.model)
def test_every_entry_is_a_model_with_a_line_on_when_to_choose_it(entry, tmp_path):
    parse_spec(entry.model)
    assert entry.licence
    assert entry.when.endswith(".")
    assert entry.status(tmp_path) == ("downloadable" if entry.megabytes else "bundled")


def test_what_was_downloaded_is_cached(tmp_path):
    store(tmp_path, "ViT-B-16/openai")
    assert {e.model for e in CATALOGUE if e.status(tmp_path) == "cached"} == {"ViT-B-16/openai"}
    assert downloaded_models(tmp_path) == ()


def test_other_downloads_are_listed_too(tmp_path):
    assert downloaded_models(tmp_path / "not there") == ()
    store(tmp_path, "ViT-B-32/laion2b_e16")
    config = '{"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}}'
    store(tmp_path, "hf-hub:someone/model", config)
    (tmp_path / "texts").mkdir()
    (tmp_path / "nobody--nothing").mkdir()
    found = downloaded_models(tmp_path)
    assert [e.model for e in found] == ["hf-hub:someone/model", "ViT-B-32/laion2b_e16"]
    assert {e.status(tmp_path) for e in found} == {"cached"}
    assert {e.megabytes for e in found} == {3}
