"""The benchmark's plain formula is the published one, and its ratios are measured on a pair."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from napari_wildseg.engine.relevance import get_method
from napari_wildseg.evaluation import benchmark


def small(name: str, seed: int = 0):
    """What `benchmark.random_model` makes, of the smallest architecture that open_clip lists."""
    return benchmark.random_model("ViT-S-32", seed)


def test_plain_formula_agrees_with_the_shortcut():
    model = small("")
    pixels = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    text = F.normalize(torch.randn(3, 384, generator=torch.Generator().manual_seed(1)), dim=1)
    for start in (-1, -2):
        plain = benchmark.plain_attention_relevance(model, pixels, text, start)
        method = get_method("attention", model, start_layer=start)
        (encoding,) = method.encode(model, pixels)
        ours = method.relevance(model, encoding, text, text[:0])
        error = (ours - plain).abs().amax((1, 2)) / plain.abs().amax((1, 2))
        assert error.max() <= 1e-5


def test_random_models_are_repeatable_and_leave_the_random_generator_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, other = small(""), small("", seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(one.visual.proj, other.visual.proj)
    assert torch.equal(one.visual.proj, small("").visual.proj)


def test_fastest_of_runs_in_turn(monkeypatch):
    """Times are taken alternately, and the fastest of each side counts."""
    clock = iter([0, 5, 5, 6, 10, 13, 13, 20])  # 5, 1, 3, 7
    order = []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    times = benchmark._time_alternately(lambda: order.append("a"), lambda: order.append("b"), 2)
    assert times == (3, 1)
    assert order == ["a", "b", "a", "b"]
