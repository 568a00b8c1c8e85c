"""Downloads from a Hub on loopback: asked for, resumed, checked, in words when they fail."""

from __future__ import annotations

import json
import socket

import pytest
import torch

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models import architecture, load_model
from napari_wildseg.engine.models.catalogue import CATALOGUE
from napari_wildseg.engine.models.weights.download import (
    cache_folder,
    download,
    download_steps,
    is_cached,
)

SMALL = "hf-hub:lab/small"
WEIGHTS = "open_clip_model.safetensors"


def sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_nothing_is_downloaded_without_being_asked_for(small_hub, cache):
    for model in (SMALL, "ViT-B-16/openai"):
        with pytest.raises(WildsegError, match=f"`wildseg models --download {model}`"):
            load_model(model)
    assert not is_cached(SMALL)
    assert small_hub.log == []
    assert not cache.exists()


def test_downloaded_model_is_the_one_on_the_hub(small_hub, cache, weights):
    steps = list(download_steps(SMALL))
    assert [s.done for s in steps] == sorted(s.done for s in steps)
    assert steps[-1].done == steps[-1].total == len(small_hub.files[f"lab/small/{WEIGHTS}"]) // 1000
    assert is_cached(SMALL)
    assert not list(cache.rglob("*.part"))
    asked = len(small_hub.log)
    model = load_model(SMALL, device="cpu")
    assert len(small_hub.log) == asked, "loading talked to the network"
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_second_download_fetches_nothing(small_hub, cache):
    first = download(SMALL)
    small_hub.log.clear()
    assert download(SMALL) == first
    assert small_hub.requests("GET") == []


def test_cancelled_download_goes_on_where_it_stopped(small_hub, cache):
    steps = download_steps(SMALL)
    seen = [next(steps) for _ in range(4)]
    steps.close()
    assert not is_cached(SMALL)
    (part,) = cache.rglob("*.part")
    have = part.stat().st_size
    assert 0 < have < len(small_hub.files[f"lab/small/{WEIGHTS}"])
    small_hub.log.clear()
    rest = list(download_steps(SMALL))
    assert rest[0].done >= seen[-1].done
    assert [r for _, _, r in small_hub.log if r] == [f"bytes={have}-"]
    load_model(SMALL, device="cpu")


def test_server_without_ranges_starts_again(small_hub, cache):
    small_hub.ranges = False
    steps = download_steps(SMALL)
    next(steps), next(steps), next(steps)
    steps.close()
    download(SMALL)
    load_model(SMALL, device="cpu")


def test_broken_connection_is_told_and_can_be_taken_up(small_hub, cache):
    small_hub.cut = 700_000
    with pytest.raises(WildsegError) as error:
        download(SMALL)
    assert "start it again" in sentence(error) or "cannot be reached" in sentence(error)
    assert not is_cached(SMALL)
    small_hub.cut = None
    download(SMALL)
    load_model(SMALL, device="cpu")


def test_damaged_download_is_refused_and_removed(small_hub, cache):
    get_configuration_only(small_hub)
    small_hub.garble = True
    with pytest.raises(WildsegError, match="checksum") as error:
        download(SMALL)
    sentence(error)
    assert not list(cache.rglob("*.part"))
    assert not is_cached(SMALL)
    small_hub.garble = False
    download(SMALL)
    load_model(SMALL, device="cpu")


def get_configuration_only(hub):
    """Have the configuration on this machine, but no weights."""
    weights = hub.files.pop(f"lab/small/{WEIGHTS}")
    with pytest.raises(WildsegError, match="has none of"):
        download(SMALL)
    hub.files[f"lab/small/{WEIGHTS}"] = weights


def test_full_disk_is_one_sentence(small_hub, cache):
    """A limit on file sizes makes the operating system refuse the write, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(WildsegError, match="disk is full") as error:
            download(SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "WILDSEG_CACHE" in sentence(error)
    assert not is_cached(SMALL)


def test_unreachable_hub_is_one_sentence(cache, monkeypatch):
    with socket.socket() as deaf:  # held meanwhile, so that nobody else listens there
        deaf.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        for model in (SMALL, "ViT-B-16/openai"):
            with pytest.raises(WildsegError, match="cannot be reached") as error:
                download(model)
            assert "starter" in sentence(error)


def test_no_network_at_all_is_one_sentence(cache, monkeypatch):
    """As on a train: names do not resolve."""

    def resolve(*args, **kwargs):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(WildsegError, match="cannot be reached") as error:
        download("ViT-B-16/openai")
    sentence(error)


def test_model_that_is_not_there(small_hub, cache):
    with pytest.raises(WildsegError, match="has no model lab/other") as error:
        download("hf-hub:lab/other")
    sentence(error)
    small_hub.files["lab/pictures/readme.md"] = b"no model"
    with pytest.raises(WildsegError, match="not an open_clip model") as error:
        download("hf-hub:lab/pictures")
    sentence(error)


def test_unsupported_models_are_refused_before_their_weights(small_hub, cache, monkeypatch):
    swin = {"timm_model_name": "swin_base_patch4_window7_224", "timm_pool": "avg"}
    text = {"context_length": 8, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": swin, "text_cfg": text}
    small_hub.files["lab/swin/open_clip_config.json"] = json.dumps({"model_cfg": config}).encode()
    with pytest.raises(WildsegError, match="attends within windows") as error:
        download("hf-hub:lab/swin")
    assert "hf-hub:lab/swin" in sentence(error)
    assert small_hub.requests("GET") == ["open_clip_config.json"]
    small_hub.log.clear()
    monkeypatch.setattr(architecture, "has_transformers", lambda: False)
    model = "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"
    with pytest.raises(WildsegError, match="needs the package transformers") as error:
        download(model)
    assert model in sentence(error)
    assert small_hub.log == []


def test_tag_comes_from_the_registrys_repository(hub, cache):
    """The first request for ViT-B-16/openai is for the safetensors file of its repository."""
    with pytest.raises(WildsegError):
        download("ViT-B-16/openai")
    assert hub.log[0][:2] == (
        "HEAD",
        f"/timm/vit_base_patch16_clip_224.openai/resolve/main/{WEIGHTS}",
    )


def test_cache_folder_by_argument_environment_and_default(tmp_path, monkeypatch, user_folders):
    assert cache_folder() == user_folders / ".cache" / "napari-wildseg"
    monkeypatch.setenv("WILDSEG_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    assert cache_folder(tmp_path / "b") == tmp_path / "b"


def test_argument_chooses_the_cache(small_hub, tmp_path):
    path = download(SMALL, cache_dir=tmp_path / "mine")
    assert path.is_relative_to(tmp_path / "mine")
    assert not is_cached(SMALL)
    assert load_model(SMALL, device="cpu", cache_dir=tmp_path / "mine").name == SMALL


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.model)
def test_catalogue_lists_models_that_exist_and_are_supported(entry, cache):
    from napari_wildseg.engine.models.architecture import unsupported
    from napari_wildseg.engine.models.spec import parse_spec
    from napari_wildseg.engine.models.weights.download import architecture_of

    assert entry.licence
    assert entry.when.endswith(".")
    if entry.model == "starter":
        assert entry.status() == "bundled"
        return
    assert entry.status() == "downloadable"
    assert entry.megabytes > 100
    assert unsupported(architecture_of(parse_spec(entry.model))) is None
