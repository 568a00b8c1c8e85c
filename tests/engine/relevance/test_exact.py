"""Every method equals its published formula in plain autograd, for every kind of tower."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from reference import Reference
from torch.nn import functional as F
from towers import DIM, TOWERS, make_model

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.relevance.attention import AttentionRelevance
from napari_wildseg.engine.relevance.tower import attention as plain
from napari_wildseg.engine.relevance.vit import vit_tower

SIZES = [(48, 48), (64, 112), (50, 75)]
"""The tower's own size; another one; one that is no multiple of the patch."""


def pairs(*axes):
    """Combinations in which all pairs of values of two axes occur; the others are for the night."""
    found = []
    for places in product(*(range(len(axis)) for axis in axes)):
        values = [axis[place] for axis, place in zip(axes, places, strict=True)]
        marks = [pytest.mark.nightly] if sum(places) % 3 else []
        found.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return found


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def texts(count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, DIM, generator=generator), dim=-1)


def picture(size: tuple[int, int], batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def assert_same(ours: torch.Tensor, reference: torch.Tensor) -> None:
    """Equal to 1e-5 of each map's largest value, and not trivially so."""
    assert ours.dtype == torch.float32
    assert ours.shape == reference.shape
    reference = reference.detach()
    largest = reference.abs().amax((1, 2))
    assert (largest > 0).all()
    error = (ours.double() - reference).abs().amax((1, 2)) / largest
    assert error.max() <= 1e-5, f"relative errors {error.tolist()}"


@pytest.mark.parametrize(("kind", "start_layer", "size"), pairs(list(TOWERS), [-1, -2, 0], SIZES))
def test_attention_relevance(kind, start_layer, size):
    model, pixels, text = make_model(kind), picture(size), texts(3)
    method = AttentionRelevance(start_layer)
    (encoding,) = method.encode(model, pixels)
    ours = method.relevance(model, encoding, text, text[:0])
    reference = Reference(model, pixels)
    pooling = vit_tower(model).pooling
    assert_same(ours, reference.attention(text, start_layer, pooling))


@pytest.mark.parametrize(
    ("kind", "counts", "size"), pairs(list(TOWERS), [(3, 4), (2, 0), (1, 0)], SIZES)
)
def test_clip_es(kind, counts, size):
    classes, background = counts
    model, pixels = make_model(kind), picture(size)
    model.network.logit_scale.fill_(1.0)
    text = texts(classes + background)
    method = get_method("clip-es", model)
    (encoding,) = method.encode(model, pixels)
    ours = method.relevance(model, encoding, text[:classes], text[classes:])
    reference = Reference(model, pixels)
    pooling = vit_tower(model).pooling
    assert_same(ours, reference.clip_es(text[:classes], text[classes:], pooling))


def test_clip_es_of_texts_that_are_much_alike():
    """CLIP's texts share most of their direction; what tells them apart must not drown in it."""
    model, pixels = make_model("class token"), picture((64, 112))
    text = F.normalize(texts(7) + 2 * texts(1, seed=5), dim=1)
    assert (text @ text.T).min() > 0.6
    method = get_method("clip-es", model)
    (encoding,) = method.encode(model, pixels)
    ours = method.relevance(model, encoding, text[:4], text[4:])
    assert_same(ours, Reference(model, pixels).clip_es(text[:4], text[4:], "token"))


def test_clip_es_differentiates_for_new_texts_only(monkeypatch):
    """Names that stay cost nothing when another is added, and the maps are the same."""
    from napari_wildseg.engine.relevance import clip_es

    model, text = make_model("class token"), texts(6)
    method = get_method("clip-es", model)
    (encoding,) = method.encode(model, picture((48, 64)))
    fresh = method.relevance(model, method.encode(model, picture((48, 64)))[0], text[:4], text[4:])
    held = []
    for classes in (3, 4):
        again = method.relevance(model, encoding, text[:classes], text[4:])
        held.append(dict(encoding.memo))
    assert [len(memo) for memo in held] == [4, 5], "the classes, and the background as one"
    assert all(held[1][key] is value for key, value in held[0].items())
    assert torch.equal(again, fresh), "to the bit, whatever was asked before"
    monkeypatch.setattr(clip_es, "_MAX_MEMO", 5)
    assert method.relevance(model, encoding, text[:3], text[4:5]).shape == (3, 3, 4)
    assert len(encoding.memo) <= 5


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("background", [0, 3])
@pytest.mark.parametrize("kind", ["class token", "quickgelu", "average of normalised"])
def test_dense(kind, background, size):
    model, pixels, text = make_model(kind), picture(size), texts(2 + background)
    method = get_method("dense", model)
    (encoding,) = method.encode(model, pixels)
    ours = method.relevance(model, encoding, text[:2], text[2:])
    reference = Reference(model, pixels).dense_open_clip(text[:2], text[2:])
    if kind != "average of normalised":
        assert_same(ours, reference)
    else:  # a layer scale stands between the attention and the readout
        assert ours.shape == reference.shape


@pytest.mark.parametrize("name", ["attention", "clip-es", "dense"])
@pytest.mark.parametrize("kind", TOWERS)
def test_encoding_is_the_towers_own(kind, name):
    """The embedding is the library's; features have one vector a patch; views keep their order."""
    model, pixels = make_model(kind), picture((48, 48), batch=2)
    method = get_method(name, model)
    encodings = method.encode(model, pixels)
    with torch.no_grad():
        expected = F.normalize(model.visual(pixels), dim=-1)
    torch.testing.assert_close(torch.stack([e.embedding for e in encodings]), expected)
    for encoding, one in zip(encodings, pixels, strict=True):
        assert [tuple(f.shape) for f in encoding.features] == [(48, 3, 3), (48, 3, 3)]
        (alone,) = method.encode(model, one[None])
        for key, tensor in encoding.tensors.items():
            torch.testing.assert_close(alone.tensors[key], tensor)
    assert not torch.allclose(encodings[0].features[1], encodings[1].features[1])


@pytest.mark.parametrize("name", ["attention", "clip-es", "dense"])
def test_no_class_gives_no_map(name):
    model = make_model("class token")
    method = get_method(name, model)
    (encoding,) = method.encode(model, picture((48, 64)))
    assert method.relevance(model, encoding, texts(0), texts(2)).shape == (0, 3, 4)


def test_classes_in_portions_give_the_same_maps(monkeypatch):
    """Memory is bounded by treating few classes at a time; the maps do not depend on it."""
    from napari_wildseg.engine.relevance import attention

    model, pixels, text = make_model("average pooled"), picture((48, 64)), texts(5)
    method = AttentionRelevance(0)
    (encoding,) = method.encode(model, pixels)
    whole = method.relevance(model, encoding, text, text[:0])
    monkeypatch.setattr(attention, "class_chunk", lambda heads, tokens: 2)
    torch.testing.assert_close(method.relevance(model, encoding, text, text[:0]), whole)


@pytest.mark.parametrize("most", [1, 500, 2000])
@pytest.mark.parametrize("name", ["clip-es", "dense"])
@pytest.mark.parametrize("kind", ["class token", "siglip", "eva", "coca"])
def test_attention_in_blocks_gives_the_same_maps(monkeypatch, kind, name, most):
    """Few attention weights are held at a time, and never those of all queries and heads."""
    from napari_wildseg.engine.relevance import tower

    model, pixels, text = make_model(kind), picture((96, 128), batch=2), texts(5)
    method = get_method(name, model)
    whole = [method.relevance(model, e, text[:3], text[3:]) for e in method.encode(model, pixels)]
    monkeypatch.setattr(tower, "MAX_WEIGHTS", most)
    held = []
    monkeypatch.setattr(tower, "attention", lambda q, k: held.append(plain(q, k)) or held[-1])
    blocks = [method.relevance(model, e, text[:3], text[3:]) for e in method.encode(model, pixels)]
    for ours, theirs in zip(blocks, whole, strict=True):
        assert_same(ours, theirs.double())
    for weights in held:
        fewest = 2 * weights.shape[0] * weights.shape[1] * weights.shape[-1]
        assert weights.numel() <= max(most, fewest)


def test_positions_may_be_interpolated_bicubically():
    """As SCLIP and ClearCLIP do; at the tower's own size nothing is interpolated."""
    model = make_model("class token")
    for size, same in (((48, 48), True), ((80, 112), False)):
        maps = []
        for positions in ("bilinear", "bicubic"):
            method = get_method("dense", model, positions=positions)
            (encoding,) = method.encode(model, picture(size))
            maps.append(method.relevance(model, encoding, texts(2), texts(2)))
        assert torch.equal(*maps) is same
    places = model.visual.positional_embedding[1:].reshape(1, 3, 3, -1).permute(0, 3, 1, 2)
    expected = F.interpolate(places, (5, 7), mode="bicubic").flatten(2)[0].T
    from napari_wildseg.engine.relevance.tower import resized_positions

    found = resized_positions(model.visual.positional_embedding[1:], (3, 3), (5, 7), "bicubic")
    torch.testing.assert_close(found, expected)
    with pytest.raises(InputError, match="choose bilinear or bicubic"):
        get_method("dense", model, positions="nearest").encode(model, picture((48, 48)))


def test_start_layer_out_of_range_is_refused():
    model = make_model("class token")
    with pytest.raises(InputError, match="this image tower has 3 layers"):
        AttentionRelevance(3).encode(model, picture((48, 48)))


def test_unknown_names_and_options_are_refused():
    model = make_model("class token")
    with pytest.raises(InputError, match=r'no relevance method "gradcam"; choose one of .*clip-es'):
        get_method("gradcam", model)
    with pytest.raises(InputError, match="has no such option"):
        get_method("dense", model, start_layer=0)
    assert get_method("attention", model, start_layer=0).start_layer == 0


def test_default_method_and_refusals_by_name():
    """Without a name a tower gets the first method that reads it; a wrong choice is explained."""
    from open_clip.model import CLIP

    vit = make_model("class token")
    assert get_method(None, vit).name == "clip-es"
    with pytest.raises(InputError, match="needs a convolutional image tower"):
        get_method("cam", vit)
    text = {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}
    vit.network = CLIP(embed_dim=32, vision_cfg=vision, text_cfg=text).eval()
    assert get_method(None, vit).name == "cam"
    for name in ("attention", "clip-es", "dense"):
        with pytest.raises(
            InputError, match=rf'"{name}" does not work with "class token".*ModifiedResNet'
        ):
            get_method(name, vit)
