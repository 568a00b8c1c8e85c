"""Time and size ratios of a class memory of 50 images."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.models.clip_model import CLIPModel
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
