"""Speed ratios of the method, measured on this machine.

Ratios depend much less on the machine and its load than times do. The two sides of a ratio are run
alternately, and the fastest run of each counts.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.models import load_model
from napari_wildseg.engine.models.architecture import builtin_architecture
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.light_import import import_open_clip
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.relevance import RelevanceMethod, get_method
from napari_wildseg.engine.relevance.tower import attention
from napari_wildseg.engine.relevance.vit import require_tower
from napari_wildseg.engine.segmenter import Segmenter

_N_IMAGES = 50


def memory_ratios(
    model: CLIPModel, image: NDArray[np.uint8], names: tuple[str, ...], repeats: int
) -> dict[str, float]:
    """Measure the cost of a memory.

    `image`: ``(H, W, 3)`` uint8.

    Notes
    -----
    The images of the memory are one record with its features changed a little by a seeded random
    generator. Its labels are bands of brightness, which the maps do not see, so that the gate
    opens and the memory is used.
    """
    segmenter = Segmenter(model, cache_bytes=0)
    segmenter.set_image(image)
    segmenter.segment(names, refine=False)
    grey = image.mean(2)
    edges = np.quantile(grey, np.linspace(0, 1, len(names) + 2)[1:-1])
    record = segmenter.record(labels=np.digitize(grey, edges).astype(np.uint8), name="0")
    random = np.random.default_rng(0)
    memory = ClassMemory()
    for number in range(_N_IMAGES):
        moved = record.features + random.normal(0, 0.02, record.features.shape).astype(np.float16)
        other = replace(record, digest=f"{number:064x}", name=str(number), features=moved)
        memory.add(other, segmenter.source)
    started = time.perf_counter()
    memory.prepare()
    learned = time.perf_counter() - started

    def segment(known: ClassMemory | None) -> float:
        segmenter.memory = known
        started = time.perf_counter()
        segmenter.set_image(image)
        segmenter.segment(names)
        return time.perf_counter() - started

    segment(memory)
    assert segmenter.result is not None
    assert any(segmenter.result.settings["memory"].values()), "the gate is closed"
    times = [(segment(memory), segment(None)) for _ in range(repeats)]
    with_memory, without = (min(column) for column in zip(*times, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        size = memory.save(Path(folder) / "m.wildmemory").stat().st_size
    return {
        "memory_over_segment": with_memory / without,
        "learn_over_segment": learned / without,
        "memory_mb_per_image": size / _N_IMAGES / 1e6,
    }


_N_CLASSES = 20
"""Classes of the relevance ratios."""

_NAMES = ("cup of coffee", "spoon", "saucer", "table", "plate")
"""Classes of the segmentation ratios, in a photograph of 640 x 480 pixels."""

_STAGES = 6


def plain_attention_relevance(
    model: CLIPModel, pixels: Tensor, text: Tensor, start_layer: int = -1
) -> Tensor:
    """Attention relevance as it is written down: the measure of our shortcuts.

    For each class, as in the authors' notebook: a forward pass that holds every attention matrix in
    the graph, the gradient of the score by the attention of each layer from ``start_layer`` on, and
    N x N products for R (Chefer et al., ICCV 2021, arXiv 2103.15679).

    `pixels`: ``(1, 3, h, w)``; `text`: ``(K, D)`` unit rows; returns ``(K, h', w')``.
    """
    tower = require_tower(model)
    pixels, grid = tower.fit(pixels)
    scale = 1.0 if start_layer in (-1, len(tower.blocks) - 1) else model.logit_scale
    maps = []
    for vector in text:
        with torch.enable_grad():
            x = tower.embed(pixels.detach().requires_grad_(), "bilinear")
            kept = []
            for block in tower.blocks:
                q, k, v = block.qkv(x, tower.rope(grid))
                kept.append(attention(q, k))
                x = block.finish(x, kept[-1] @ v)
            score = F.normalize(tower.head(x), dim=-1)[0] @ vector * scale
            wanted = kept[start_layer:]
            grads = torch.autograd.grad(score, wanted)
        relevance = torch.eye(x.shape[1])
        for weights, grad in zip(wanted, grads, strict=True):
            cam = (weights.detach()[0] * grad[0]).clamp(min=0).mean(0)
            relevance = relevance + cam @ relevance
        maps.append(relevance[0, tower.prefix :].reshape(grid))
    return torch.stack(maps)


def benchmark_steps(*, repeats: int = 3) -> Steps[dict[str, Any]]:
    """Measure all ratios."""
    seconds: dict[str, float] = {}
    yield Progress(0, _STAGES, "Relevance of a ViT-B-16, ours and the plain formula")
    vit = random_model("ViT-B-16")
    method = get_method("attention", vit)
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    text = _random_rows(_N_CLASSES, 512)
    plain = plain_attention_relevance(vit, pixels, text)
    ours = _relevance(method, vit, pixels, text)
    error = (ours - plain).abs().amax((1, 2)) / plain.abs().amax((1, 2))
    fast, slow = _time_alternately(
        lambda: _relevance(method, vit, pixels, text),
        lambda: plain_attention_relevance(vit, pixels, text),
        repeats,
    )
    bare, _ = _time_alternately(lambda: _bare_forward(vit, pixels), lambda: None, repeats)
    seconds |= {"vit_relevance": fast, "vit_plain_formula": slow, "vit_forward": bare}

    yield Progress(1, _STAGES, "Cost of a class, ViT-B-16")
    class_cost = {"ViT-B-16": _class_cost(method, vit, pixels, text, repeats)}
    by_method = {"attention": class_cost["ViT-B-16"]}
    for name in ("dense", "clip-es"):
        by_method[name] = _class_cost(get_method(name, vit), vit, pixels, text, repeats)
    vit.release()

    yield Progress(2, _STAGES, "Cost of a class, starter")
    starter = load_model("starter", device="cpu")
    photo = torch.randn(1, 3, 384, 512, generator=torch.Generator().manual_seed(1))
    rows = F.normalize(starter.encode_text(_NAMES).repeat(_N_CLASSES // len(_NAMES), 1), dim=-1)
    class_cost["starter"] = _class_cost(get_method(None, starter), starter, photo, rows, repeats)

    yield Progress(3, _STAGES, "Segmenting a photograph with the starter")
    whole = _segmentation(starter, repeats, seconds)

    yield Progress(4, _STAGES, "Segmenting with a memory of 50 images")
    whole |= memory_ratios(starter, _photograph(), _NAMES, repeats)

    yield Progress(5, _STAGES, "Two iterations of kim2020")
    seconds["kim2020_iteration"] = _kim_iteration()
    yield Progress(_STAGES, _STAGES, "Done")
    return {
        "relevance_speedup": slow / fast,
        "relevance_over_forward": fast / bare,
        "relevance_max_error": float(error.max()),
        "class_cost": max(class_cost.values()),
        "class_cost_by_model": class_cost,
        "class_cost_by_method": by_method,
        **whole,
        "refine_speedup_over_kim2020": 1000 * seconds["kim2020_iteration"] / seconds["refine"],
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }


def random_model(name: str, seed: int = 0) -> CLIPModel:
    """Return a built-in architecture with random weights and an empty tokenizer, for timing."""
    import_open_clip()
    from open_clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CLIP(**builtin_architecture(name).config).eval().requires_grad_(False)
    return CLIPModel(
        name=name,
        network=network,
        tokenizer=lambda texts: torch.zeros(len(texts), 77, dtype=torch.long),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        templates=("{}",),
        device=torch.device("cpu"),
        fingerprint=f"{name} random {seed}",
    )


def _random_rows(count: int, width: int) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(2)), dim=1)


def _relevance(method: RelevanceMethod, model: CLIPModel, pixels: Tensor, text: Tensor) -> Tensor:
    (encoding,) = method.encode(model, pixels)
    return method.relevance(model, encoding, text, text[:0])


def _bare_forward(model: CLIPModel, pixels: Tensor) -> None:
    with torch.no_grad():
        model.visual(pixels)


def _class_cost(
    method: RelevanceMethod, model: CLIPModel, pixels: Tensor, text: Tensor, repeats: int
) -> float:
    """Return the time of the relevance of all classes / of one, encoding included."""
    _relevance(method, model, pixels, text)
    many, one = _time_alternately(
        lambda: _relevance(method, model, pixels, text),
        lambda: _relevance(method, model, pixels, text[:1]),
        2 * repeats,
    )
    return many / one


def _segmentation(model: CLIPModel, repeats: int, seconds: dict[str, float]) -> dict[str, float]:
    """Return the ratios that need a `Segmenter`; times are added to ``seconds``."""
    from napari_wildseg.engine.images.tower_geometry import geometry_of
    from napari_wildseg.engine.images.views import make_views, render
    from napari_wildseg.engine.segmenter import Segmenter

    image = _photograph()
    segmenter = Segmenter(model, cache_bytes=0)  # the image must not be cached
    model.encode_text((*_NAMES, *segmenter.background))  # texts are encoded once, not per image
    geometry = geometry_of(model)
    views = make_views(
        image.shape[:2], segmenter.views, base_side=geometry.base_side, multiple=geometry.multiple
    )
    batches = [render(image, view)[None] for view in views]

    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                model.visual(batch.contiguous(memory_format=torch.channels_last))

    def segment() -> None:
        segmenter.set_image(image)
        segmenter.segment(_NAMES)

    segment()
    forward()
    whole, bare = _time_alternately(segment, forward, repeats)
    assert segmenter.result is not None
    seconds |= {"segment": whole, "forward": bare, **segmenter.result.seconds}
    corrections = np.full(image.shape[:2], -1, np.int16)
    corrections[200:216, 300:316] = 1
    reruns = []
    for i in range(repeats):
        corrections[40 + 20 * i : 50 + 20 * i, 40:50] = 0
        reruns.append(_time(lambda: segmenter.refine(corrections)))
    seconds["rerun"] = min(reruns)
    return {"segment_over_forward": whole / bare, "rerun_over_segment": min(reruns) / whole}


def _kim_iteration() -> float:
    """Return the seconds of one iteration of kim2020 on the photograph, the faster of two."""
    from napari_wildseg.engine.refine import start_refinement

    image = _photograph()
    seeds = np.full(image.shape[:2], 255, np.uint8)
    for label in range(len(_NAMES) + 1):
        seeds[40 + 60 * label : 60 + 60 * label, 100:500] = label
    refinement = start_refinement(image, len(_NAMES), method="kim2020", iterations=3)
    steps = refinement.run_steps(seeds, None, None)
    next(steps)
    times = [_time(lambda: next(steps)) for _ in range(2)]
    steps.close()
    return min(times)


def _photograph() -> NDArray[np.uint8]:
    """Return a photograph of 640 x 480 pixels, ``(H, W, 3)`` uint8."""
    from PIL import Image

    from napari_wildseg.engine.images.rgb import as_rgb
    from napari_wildseg.engine.pictures.samples import load_sample

    picture = Image.fromarray(as_rgb(load_sample("coffee")))
    return np.asarray(picture.resize((640, 480), Image.Resampling.BICUBIC))


def _time(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _time_alternately(
    one: Callable[[], object], other: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Return the fastest times of two functions that are run alternately."""
    times = [(_time(one), _time(other)) for _ in range(repeats)]
    return min(a for a, _ in times), min(b for _, b in times)
