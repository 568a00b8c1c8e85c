"""Fused convolutions give what the plain modules give, in every kind of padding."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from napari_wildseg.engine.models import fused
from napari_wildseg.engine.models.fused import FusedConv, fuse, use_bfloat16

WORKS = FusedConv(nn.Conv2d(1, 1, 1), nn.Identity())._works
needs_fusing = pytest.mark.skipif(not WORKS, reason="this PyTorch has no oneDNN operators")
needs_bfloat16 = pytest.mark.skipif(
    not fused.multiplies_bfloat16(), reason="this processor has no instructions for bfloat16"
)


def kinds() -> list[nn.Conv2d]:
    return [
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(8, 16, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        Conv2dSame(8, 8, 3, stride=2, groups=8),
        Conv2dSame(8, 16, 5, stride=2),
        Conv2dSame(8, 16, (3, 5), stride=(1, 2)),
    ]


@needs_fusing
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.ReLU(), nn.Identity()], ids=repr)
@pytest.mark.parametrize("size", [(16, 24), (17, 24), (15, 13)])
@torch.no_grad()
def test_the_result_is_that_of_the_modules(number, activation, size):
    torch.manual_seed(number)
    conv = kinds()[number]
    x = (3 * torch.randn(2, 8, *size)).contiguous(memory_format=torch.channels_last)
    step = FusedConv(conv, activation)
    torch.testing.assert_close(step(x), activation(conv(x)))
    torch.testing.assert_close(step(x.contiguous()), activation(conv(x)))
    assert step._works, "the quick way was taken"


@needs_fusing
@torch.no_grad()
def test_what_came_before_does_not_change_a_bit():
    conv = nn.Conv2d(8, 16, 3, padding=1)
    sizes = [torch.randn(1, 8, 8 + 4 * i, 16) for i in range(fused.MAX_INPUT_SIZES + 2)]
    one, other = FusedConv(conv, nn.ReLU6()), FusedConv(conv, nn.ReLU6())
    forwards = [one(x) for x in sizes]
    backwards = [other(x) for x in sizes[::-1]][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len(one._packed) == fused.MAX_INPUT_SIZES


def test_autograd_and_other_types_get_the_plain_modules():
    step = FusedConv(nn.Conv2d(2, 2, 1), nn.ReLU())
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    step(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert step.double()(x.double()).dtype == torch.float64
    assert not step._packed


@torch.no_grad()
def test_operators_that_fail_are_done_without(monkeypatch):
    def fail(*args):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(FusedConv, "_pack", fail)
    step, x = FusedConv(nn.Conv2d(2, 2, 1), nn.ReLU()), torch.randn(1, 2, 4, 4)
    for _ in range(2):
        assert torch.equal(step(x), step.conv(x).relu())
    assert not step._works


@torch.no_grad()
def test_a_network_is_fused_in_place():
    class Swish(nn.Module):
        def forward(self, x):
            return x * x.sigmoid()

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU6(inplace=True),
        nn.Sequential(nn.Conv2d(8, 8, 1), Swish()),
        nn.Conv2d(8, 4, 1, padding="same"),
    ).eval()
    x = torch.randn(1, 3, 9, 9)
    expected = network(x)
    fuse(network)
    assert isinstance(network[0], FusedConv)
    assert isinstance(network[1], nn.Identity)
    assert isinstance(network[2][0], FusedConv)
    assert type(network[3]) is nn.Conv2d
    torch.testing.assert_close(network(x), expected)


@needs_fusing
def test_threads_share_a_convolution_without_a_size_being_lost():
    """The lanes of a batch use one network; what one puts away, another may be looking at."""
    conv = nn.Conv2d(2, 4, 3, padding=1)
    step = FusedConv(conv, nn.ReLU())
    pictures = [torch.randn(1, 2, 4 + side, 5) for side in range(2 * fused.MAX_INPUT_SIZES)]
    with torch.no_grad():
        expected = [torch.relu(conv(picture)) for picture in pictures]

    def lane(seed: int) -> bool:
        order = torch.randperm(400, generator=torch.Generator().manual_seed(seed)) % len(pictures)
        with torch.no_grad():
            return all(torch.allclose(step(pictures[i]), expected[i], atol=1e-5) for i in order)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lane, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert step._works
    assert len(step._packed) == fused.MAX_INPUT_SIZES


def block() -> nn.Sequential:
    """What a network with inverted bottlenecks is made of."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(16, 32, 1), nn.ReLU6(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU6(),
        nn.Conv2d(32, 16, 1),
    )  # fmt: skip


@needs_fusing
@needs_bfloat16
@torch.no_grad()
def test_parts_multiply_in_bfloat16_and_give_float32():
    network = nn.ModuleDict({"first": block(), "second": block()}).eval()
    x = torch.randn(1, 16, 12, 12)
    exact = network["second"](x)
    fuse(network)
    use_bfloat16(network, ["second", "third"])
    assert not any(m.reduced for m in network["first"].modules() if isinstance(m, FusedConv))
    found = network["second"](x)
    assert found.dtype == torch.float32
    # Eight bits of mantissa: products are right to about 0.4 %, and not exact.
    error = (found - exact).norm() / exact.norm()
    assert 1e-5 < error < 0.02
    assert torch.equal(network["second"](x), found)


@torch.no_grad()
def test_where_bfloat16_fails_the_plain_modules_do_it(monkeypatch):
    def fail(*args):
        raise RuntimeError("no such kernel")

    network = nn.ModuleDict({"all": block()}).eval()
    x = torch.randn(1, 16, 12, 12)
    expected = network["all"](x)
    fuse(network)
    use_bfloat16(network, ["all"])
    network["all"](x)
    steps = [module for module in network.modules() if isinstance(module, FusedConv)]
    monkeypatch.setattr(steps[1], "_fused", fail)  # it is given bfloat16 by the first
    torch.testing.assert_close(network["all"](x), expected, rtol=0.02, atol=0.02)
    assert not steps[1]._works
    monkeypatch.setattr(FusedConv, "_fused", fail)
    for step in steps:
        step._works = True
    torch.testing.assert_close(network["all"](x), expected)


def test_what_a_processor_can_do_is_asked_of_torch(monkeypatch):
    for name, answer in (("avx512_bf16", False), ("amx_tile", True)):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda a=answer: a, raising=False)
    assert fused.multiplies_bfloat16()
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not fused.multiplies_bfloat16()
