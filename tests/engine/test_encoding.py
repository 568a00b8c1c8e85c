"""Every view is encoded once, in batches that fit; the first look can be had alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.images.encoding import (
    GRID_SIDE,
    combine_scales,
    encode_steps,
    grid_of,
)
from napari_wildseg.engine.images.views import make_views
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.relevance import ViewEncoding


class Network(torch.nn.Module):
    """As much of a tower as says at what size it sees best."""

    def __init__(self):
        super().__init__()
        self.visual = torch.nn.Module()
        self.visual.image_size = 85
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))


MODEL = CLIPModel(
    name="fake",
    network=Network(),
    tokenizer=len,
    mean=(0.5, 0.25, 0.0),
    std=(0.5, 0.5, 0.25),
    templates=("{}",),
    device=torch.device("cpu"),
    fingerprint="fake",
)


@dataclass
class PixelMethod:
    """Keeps what it is shown, averaged over 16 x 16 cells; relevance is the first channel."""

    room: int = 10**9
    error: Exception = field(default_factory=torch.OutOfMemoryError)
    name: str = "pixels"
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def encode(self, model, pixels):
        if pixels.shape[0] * pixels.shape[2] * pixels.shape[3] > self.room:
            raise self.error
        self.batches.append(tuple(pixels.shape))
        cells = torch.nn.functional.avg_pool2d(pixels, 16)
        return [ViewEncoding({"cells": c}, [c, c[:1]], torch.ones(2)) for c in cells]

    def relevance(self, model, encoding, text, background):
        return encoding.tensors["cells"][:1].expand(len(text), -1, -1)


TEXT = torch.ones(2, 4)


def constant(shape, value=51):
    return np.full((*shape, 3), value, np.uint8)


def test_every_view_is_encoded_once_and_normalised():
    method = PixelMethod()
    encoding = drain(encode_steps(constant((40, 60)), MODEL, method, "default"))
    assert encoding.views == make_views((40, 60), "default", base_side=128, multiple=32)
    assert len(encoding.encodings) == len(encoding.views) == 6
    assert method.batches == [(2, 3, v.height, v.width) for v in encoding.views[::2]]
    for kept in encoding.encodings:  # (51 / 255 - mean) / std
        channels = kept.tensors["cells"].mean((1, 2))
        torch.testing.assert_close(channels, torch.tensor([-0.6, -0.1, 0.8]))


def test_views_keep_their_order_through_batches():
    rows = np.arange(60, dtype=np.uint8)
    image = np.repeat(np.broadcast_to(rows, (40, 60))[..., None], 3, axis=2)
    encoding = drain(encode_steps(image, MODEL, PixelMethod(), "best"))
    for view, kept in zip(encoding.views, encoding.encodings, strict=True):
        first = kept.tensors["cells"][0, 0]
        assert kept.tensors["cells"].shape[1:] == (view.height // 16, view.width // 16)
        assert (first[0] > first[-1]) == view.flip


def test_a_device_out_of_memory_gets_smaller_batches():
    view = make_views((40, 60), "fast", base_side=128, multiple=32)[0]
    method = PixelMethod(room=view.height * view.width)
    encoding = drain(encode_steps(constant((40, 60)), MODEL, method, "fast"))
    assert len(encoding.encodings) == 2
    assert [b[0] for b in method.batches] == [1, 1]
    with pytest.raises(WildsegError, match=r'memory of cpu does not suffice .* "single"'):
        drain(encode_steps(constant((40, 60)), MODEL, PixelMethod(room=10), "fast"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["python", "mps", "cpu"],
)
def test_every_device_says_it_in_its_own_words(error):
    view = make_views((40, 60), "fast", base_side=128, multiple=32)[0]
    method = PixelMethod(room=view.height * view.width, error=error)
    assert len(drain(encode_steps(constant((40, 60)), MODEL, method, "fast")).encodings) == 2
    with pytest.raises(RuntimeError, match="something else"):
        method = PixelMethod(room=10, error=RuntimeError("something else"))
        drain(encode_steps(constant((40, 60)), MODEL, method, "fast"))


def test_progress_counts_the_views():
    seen = []
    drain(encode_steps(constant((40, 60)), MODEL, PixelMethod(), "default"), seen.append)
    assert [(p.done, p.total) for p in seen] == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert seen[1].stage == "Looking at the image, view 3 of 6"


@pytest.mark.parametrize("shape", [(40, 60), (30, 150)], ids=str)
@pytest.mark.parametrize("preset", ["single", "fast", "default", "best"])
def test_the_first_look_is_what_the_single_preset_sees(preset, shape):
    """All windows of a long image, none of the mirrored views, light variants and crops."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    many = drain(encode_steps(image, MODEL, PixelMethod(), preset))
    single = drain(encode_steps(image, MODEL, PixelMethod(), "single"))
    first = many.relevance(MODEL, TEXT, TEXT[:0], first_only=True)
    torch.testing.assert_close(first, single.relevance(MODEL, TEXT, TEXT[:0]))
    if preset != "single":
        assert not torch.allclose(first, many.relevance(MODEL, TEXT, TEXT[:0]))


def test_relevance_and_features_are_merged_on_the_grid():
    image = constant((40, 60))
    image[:, 30:] = 255
    encoding = drain(encode_steps(image, MODEL, PixelMethod(), "default"))
    assert encoding.grid == (40, 60)
    maps = encoding.relevance(MODEL, TEXT, TEXT[:0])
    assert maps.shape == (2, 40, 60)
    assert maps[0, 20, 5] == pytest.approx(-0.6, abs=0.02)
    assert maps[0, 20, 55] == pytest.approx(1, abs=0.02)
    features = encoding.features()
    assert not features._merged  # nobody looked yet
    assert len(features[-1:]) == 1
    assert list(features._merged) == [1]
    assert [f.shape for f in features] == [(3, 40, 60), (1, 40, 60)]
    np.testing.assert_allclose(features[1][0], maps[0], atol=1e-6)
    assert encoding.features() is features


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((480, 640), (62, 83)), ((50, 60), (50, 60)), ((2, 2), (2, 2)), ((2, 4000), (2, 3220))],
)
def test_the_grid_has_the_shape_of_the_image(shape, expected):
    assert grid_of(shape, GRID_SIDE) == expected


def test_scales_agree_by_a_product_and_what_one_denies_is_denied():
    maps = torch.tensor([[[[4.0, 2.0, -1.0]]], [[[1.0, -2.0, -3.0]]]])
    assert combine_scales(maps, [1, 1])[0, 0].tolist() == pytest.approx([2, 0, -2])
    torch.testing.assert_close(combine_scales(maps[:1], [1]), maps[0])
    # The units of a scale do not change the weights of the others.
    scaled = torch.stack([maps[0] * 100, maps[1]])
    assert float(combine_scales(scaled, [1, 1])[0, 0, 0]) == pytest.approx(20)


def test_fine_scales_decide_where_and_coarse_ones_which_class():
    # The fine scale sees the thing in the left cell and class 1 in it, the coarse one sees it in
    # the middle cell and class 0 there.
    fine = torch.tensor([[[0.5, 0.1, 0.1]], [[1.0, 0.2, 0.2]]])
    coarse = torch.tensor([[[0.2, 1.0, 0.2]], [[0.1, 0.5, 0.1]]])
    maps = torch.stack([fine, coarse])
    equal = combine_scales(maps, [1, 1])
    found = combine_scales(maps, [1.4, 0.6])
    assert (equal.amax(0)[0, 0] - equal.amax(0)[0, 1]).abs() < 0.05
    strongest = found.amax(0)[0]
    assert strongest[0] > 1.1 * strongest[1]  # where the fine scale sees it
    assert (found[0] > 1.1 * found[1]).all()  # what the coarse scale sees


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("not enough memory: you tried"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_too_little_memory_for_relevance_is_one_sentence(error):
    class Large(PixelMethod):
        def relevance(self, model, encoding, text, background):
            raise error

    encoding = drain(encode_steps(constant((40, 60)), MODEL, Large(), "single"))
    with pytest.raises(WildsegError, match=r'memory of cpu does not suffice .* "single"'):
        encoding.relevance(MODEL, torch.ones(1, 2), torch.ones(0, 2))
