"""Packed weights give the usual product, where they apply; everything else is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_wildseg.engine.models import packed
from napari_wildseg.engine.models.packed import PackedLinears

WORKS = PackedLinears()._works
needs_packing = pytest.mark.skipif(not WORKS, reason="this PyTorch has no oneDNN operators")


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(48, 32).requires_grad_(False)


@needs_packing
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_the_product_is_the_usual_one(bias):
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 32, bias=bias), torch.randn(2, 100, 48)
    expected = layer(x)
    linears = PackedLinears()
    with linears:
        first, second = layer(x), layer(x)
        strided = layer(x.transpose(0, 1))
    assert linears.nbytes == 48 * 32 * 4
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(strided, expected.transpose(0, 1))
    assert torch.equal(first, second)


@needs_packing
@torch.no_grad()
def test_the_order_of_images_does_not_change_a_bit(layer):
    few, many = torch.randn(70, 48), torch.randn(2000, 48)
    results = []
    for order in ((few, many), (many, few)):
        with PackedLinears():
            results.append({len(x): layer(x) for x in order})
    assert all(torch.equal(results[0][n], results[1][n]) for n in (70, 2000))


def test_autograd_gets_the_usual_product(layer):
    linears = PackedLinears()
    x = torch.randn(100, 48, requires_grad=True)
    with linears:
        layer(x).sum().backward()
    assert linears.nbytes == 0
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(100, -1))


@torch.no_grad()
def test_other_types_and_few_rows_are_left_alone(layer):
    linears = PackedLinears()
    with linears:
        assert layer(torch.randn(packed.MIN_PACKED_ROWS - 1, 48)).shape == (63, 32)
        assert layer.double()(torch.randn(100, 48).double()).dtype == torch.float64
        assert F.linear(input=torch.randn(100, 4), weight=torch.randn(3, 4)).shape == (100, 3)
        assert layer.to("meta")(torch.randn(100, 48, device="meta").double()).is_meta
    assert linears.nbytes == 0


@needs_packing
@torch.no_grad()
def test_memory_is_bounded_and_given_back(layer, monkeypatch):
    other, x = nn.Linear(48, 8), torch.randn(100, 48)
    monkeypatch.setattr(packed, "MAX_PACKED_BYTES", 48 * 32 * 4)
    linears = PackedLinears()
    with linears:
        layer(x)
        torch.testing.assert_close(other(x), F.linear(x, other.weight, other.bias))
    assert linears.nbytes == 48 * 32 * 4
    linears.clear()
    assert linears.nbytes == 0


@torch.no_grad()
def test_operators_that_fail_are_done_without(layer, monkeypatch):
    def fail(*args):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(PackedLinears, "_pack", fail)
    linears, x = PackedLinears(), torch.randn(100, 48)
    expected = layer(x)
    with linears:
        assert torch.equal(layer(x), expected)
        assert torch.equal(layer(x), expected)
    assert not linears._works


@pytest.mark.parametrize("works", [True, False])
def test_a_packed_matrix_gives_the_usual_product(works, monkeypatch):
    if not works:
        monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", None, raising=False)
    matrix = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    product = packed.PackedMatrix(matrix, rows=5)
    assert (product._packed is None) == (not works)
    for count in (1, 5, 70):
        rows = torch.randn(count, 200, generator=torch.Generator().manual_seed(count))
        torch.testing.assert_close(product(rows), rows @ matrix.T, rtol=1e-5, atol=1e-4)
