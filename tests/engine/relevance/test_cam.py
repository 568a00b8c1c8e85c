"""Class activation maps equal the published formula in plain autograd, tower by tower."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.relevance.cam import CamRelevance

pytestmark = pytest.mark.usefixtures("one_thread")

LINEAR = ["resnet", "efficientnet"]
"""Average pooling, then a matrix."""
OTHER = ["RN", "projection with bias", "mlp projection", "convnext"]


def text_rows(count):
    generator = torch.Generator().manual_seed(3)
    return F.normalize(torch.randn(count, 24, generator=generator), dim=-1)


def picture(height, width, batch=1):
    generator = torch.Generator().manual_seed(height + width)
    return torch.randn(batch, 3, height, width, generator=generator)


@contextmanager
def last_features(model):
    """The library's own forward pass, with its last feature map kept in the graph."""
    visual = model.network.visual
    kept = []

    def keep(module, args, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    trunk = getattr(visual, "trunk", None)
    if trunk is None:
        handle = visual.layer4.register_forward_hook(keep)
    else:  # a method, not a module
        method = trunk.forward_features
        trunk.forward_features = lambda x: keep(trunk, (), method(x))
    yield kept
    if trunk is None:
        handle.remove()
    else:
        del trunk.forward_features


def grad_cam(model, pixels, text, *, cosine):
    """Selvaraju et al. (2017) as published, without its last ReLU; one backward pass a class."""
    with last_features(model) as kept:
        embedding = model.network.visual(pixels)[0]
    (features,) = kept
    maps = []
    for row in text:
        score = F.cosine_similarity(embedding, row, dim=0) if cosine else embedding @ row
        (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
        weight = gradient.mean((2, 3), keepdim=True)
        maps.append((weight * features.detach()).sum(1)[0])
    return torch.stack(maps)


def ours(model, pixels, text, **options):
    method = CamRelevance(**options)
    (encoding,) = method.encode(model, pixels)
    return method.relevance(model, encoding, text, text[:0])


def assert_same(maps, reference, *, cut=False):
    """Equal to 2e-5 of each map's largest magnitude, after Grad-CAM's last ReLU where ``cut``."""
    largest = reference.abs().amax((1, 2), keepdim=True)
    expected = reference.relu() if cut else reference
    assert maps.shape == expected.shape
    assert maps.dtype == torch.float32
    assert (expected > 0).any()
    assert (reference < 0).any()
    error = ((maps - expected).abs() / largest).max()
    assert error <= 2e-5, error


@pytest.mark.parametrize("size", [(64, 64), (96, 160)], ids=str)
@pytest.mark.parametrize("kind", LINEAR)
def test_linear_heads_equal_grad_cam_of_the_score(small_model, kind, size):
    """Where the head is linear, the gradient is the class vector over the number of places."""
    model, pixels, text = small_model(kind), picture(*size), text_rows(4)
    reference = grad_cam(model, pixels, text, cosine=False)
    places = reference.shape[1] * reference.shape[2]
    assert_same(ours(model, pixels, text, dilate=False), reference * places)


@pytest.mark.parametrize("kind", OTHER)
def test_other_heads_equal_grad_cam_of_the_cosine(small_model, kind):
    model, pixels, text = small_model(kind), picture(64, 64), text_rows(8)
    reference = grad_cam(model, pixels, text, cosine=True)
    assert_same(ours(model, pixels, text, dilate=False), reference, cut=True)


def test_attention_pooling_takes_other_sizes_by_resampling(small_model):
    """The pool knows one grid; the gradient goes through the resampling."""
    model, pixels, text = small_model("RN"), picture(96, 160), text_rows(8)
    visual = model.network.visual
    with torch.no_grad():
        x = visual.stem(pixels)
        features = visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))
    features.requires_grad_()
    embedding = visual.attnpool(F.interpolate(features, (2, 2), mode="bilinear"))[0]
    maps = []
    for row in text:
        score = F.cosine_similarity(embedding, row, dim=0)
        (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
        maps.append((gradient.mean((2, 3), keepdim=True) * features).sum(1)[0])
    assert_same(ours(model, pixels, text), torch.stack(maps).detach(), cut=True)


def test_without_projection_the_features_are_the_embedding(fresh_model):
    """As in the starter: the pooled features themselves are compared with the text."""
    model = fresh_model("resnet")
    model.network.visual.head = torch.nn.Sequential()
    text = F.normalize(torch.randn(2, 96, generator=torch.Generator().manual_seed(0)), dim=1)
    pixels = picture(64, 64)
    with torch.no_grad():
        last = model.network.visual.trunk.forward_features(pixels)[0]
    assert_same(ours(model, pixels, text, dilate=False), torch.einsum("kc,chw->khw", text, last))


# -- dilation


@pytest.mark.parametrize("kind", LINEAR)
def test_dilation_doubles_the_resolution(small_model, kind):
    model, pixels, text = small_model(kind), picture(64, 96), text_rows(2)
    assert ours(model, pixels, text, dilate=False).shape == (2, 2, 3)
    assert ours(model, pixels, text).shape == (2, 4, 6)


def test_every_other_place_of_the_dilated_map_is_the_plain_map(small_model):
    """Chen et al. (DeepLab): dilation computes the same function at more places."""
    model, pixels = small_model("resnet"), picture(96, 96)
    (plain,) = CamRelevance(dilate=False).encode(model, pixels)
    (dilated,) = CamRelevance().encode(model, pixels)
    torch.testing.assert_close(
        dilated.tensors["last"][:, ::2, ::2], plain.tensors["last"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", [*LINEAR, "convnext", "RN"])
def test_the_towers_own_encode_image_is_untouched(fresh_model, kind):
    model, pixels = fresh_model(kind), picture(64, 64)
    before_keys = list(model.network.state_dict())
    before = model.network.encode_image(pixels)
    pointers = {p.data_ptr() for p in model.network.visual.parameters()}
    ours(model, picture(96, 96), text_rows(2))
    torch.testing.assert_close(model.network.encode_image(pixels), before, rtol=0, atol=0)
    assert list(model.network.state_dict()) == before_keys
    assert {p.data_ptr() for p in model.network.visual.parameters()} == pointers
    assert not any(p.requires_grad for p in model.network.parameters())
    assert not model.network.training


def test_dilation_shares_the_weights(fresh_model):
    """A second copy of a large tower would not be for nothing: change one, the other follows."""
    model, pixels = fresh_model("resnet"), picture(64, 64)
    (before,) = CamRelevance().encode(model, pixels)
    with torch.no_grad():
        model.network.visual.trunk.layer4[0].conv1.weight.mul_(2)
        model.network.visual.trunk.layer4[0].bn1.running_mean.add_(1)
    (after,) = CamRelevance().encode(model, pixels)
    (plain,) = CamRelevance(dilate=False).encode(model, pixels)
    assert not torch.allclose(before.tensors["last"], after.tensors["last"])
    torch.testing.assert_close(
        after.tensors["last"][:, ::2, ::2], plain.tensors["last"], rtol=1e-4, atol=1e-4
    )


def test_the_pieces_go_with_the_network(fresh_model):
    model = fresh_model("resnet")
    ours(model, picture(64, 64), text_rows(1))
    watch = weakref.ref(model.network)
    del model
    gc.collect()
    assert watch() is None


# -- what is kept


@pytest.mark.parametrize("kind", [*LINEAR, *OTHER])
def test_what_is_kept_of_a_view(small_model, kind):
    """Unit embedding, local features from fine to coarse; a batch equals its views one by one."""
    model, pixels = small_model(kind), picture(96, 128, batch=2)
    method = CamRelevance()
    together = method.encode(model, pixels)
    assert len(together) == 2
    for kept, one in zip(together, pixels, strict=True):
        (alone,) = method.encode(model, one[None])
        torch.testing.assert_close(
            kept.tensors["last"], alone.tensors["last"], rtol=1e-4, atol=1e-4
        )
        assert kept.embedding.shape == (24,)
        assert kept.embedding.norm() == pytest.approx(1, abs=1e-5)
        cells = [f.shape[1] * f.shape[2] for f in kept.features]
        assert cells == sorted(cells, reverse=True)
        assert all(f.dtype == torch.float32 and f.ndim == 3 for f in kept.features)
        assert not any(t.requires_grad for t in (*kept.features, *kept.tensors.values()))
    assert not torch.allclose(together[0].embedding, together[1].embedding)


@pytest.mark.parametrize("kind", ["RN", "resnet"])
def test_the_embedding_at_the_towers_own_size_is_its_own(small_model, kind):
    model, pixels = small_model(kind), picture(64, 64)
    (kept,) = CamRelevance(dilate=False).encode(model, pixels)
    expected = F.normalize(model.network.encode_image(pixels), dim=-1)[0]
    torch.testing.assert_close(kept.embedding, expected)


@pytest.mark.parametrize("kind", ["RN", "resnet"])
def test_classes_do_not_compete_in_relevance(small_model, kind):
    """A class's map is the same whatever other classes and background words there are."""
    model, pixels, text = small_model(kind), picture(64, 64), text_rows(5)
    method = CamRelevance()
    (encoding,) = method.encode(model, pixels)
    together = method.relevance(model, encoding, text[:3], text[3:])
    alone = method.relevance(model, encoding, text[1:2], text[:0])
    torch.testing.assert_close(together[1:2], alone)


@pytest.mark.parametrize("kind", ["RN", "resnet"])
def test_no_class_gives_no_map(small_model, kind):
    maps = ours(small_model(kind), picture(64, 64), text_rows(1)[:0])
    assert maps.shape[0] == 0


def test_transformers_are_refused():
    from towers import make_model as make_transformer

    model = make_transformer("class token")
    with pytest.raises(InputError, match='"cam" needs a convolutional image tower; class token'):
        get_method("cam", model)


@pytest.mark.parametrize("kind", [*LINEAR, *OTHER])
def test_cam_is_what_convolutional_towers_get(small_model, kind):
    assert get_method(None, small_model(kind)).name == "cam"
