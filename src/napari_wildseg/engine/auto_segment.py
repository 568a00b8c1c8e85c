"""Fully automatic: the names are suggested, the image is segmented into those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, parse_classes
from napari_wildseg.engine.maps.thresholds import CUT, checked_threshold
from napari_wildseg.engine.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_wildseg.engine.result import Result
    from napari_wildseg.engine.segmenter import Segmenter

_ROUNDS = 3
_LEAST_SHARE = 0.01


def automatic_classes(
    segmenter: Segmenter, vocabulary: str | Sequence[str], cut: float = CUT
) -> tuple[ClassInfo, ...]:
    """Choose the classes of the segmenter's image."""
    checked_threshold(cut, "cut")
    found = segmenter.suggest(vocabulary, top=MAX_CLASSES)
    names = [name for name, score in found if score >= cut] or [found[0][0]]
    return parse_classes(names)


def segment_auto_steps(
    segmenter: Segmenter,
    vocabulary: str | Sequence[str] = "coco",
    *,
    cut: float = CUT,
    threshold: float | None = None,
    refine: bool = True,
) -> Steps[Result]:
    """Segment the segmenter's image into what it suggests; see `Segmenter.segment_auto`."""
    yield Progress(0, 3, "Looking for names")
    classes = automatic_classes(segmenter, vocabulary, cut)
    dropped: list[str] = []
    for _ in range(_ROUNDS):
        result = yield from segmenter.segment_steps(classes, threshold=threshold, refine=refine)
        there = set(np.unique(result.labels).tolist())
        kept = tuple(info.name for info in classes if info.id in there)
        if not kept or len(kept) == len(classes):
            break
        dropped += [info.name for info in classes if info.id not in there]
        classes = parse_classes(kept)
    notices = result.notices
    if dropped:
        names = ", ".join(f'"{name}"' for name in dropped)
        notices = (*notices, f"Suggested, but dropped since no pixels were found: {names}.")
    segmenter.result = result = replace(result, notices=notices)
    return result


def recalled_names_steps(segmenter: Segmenter) -> Steps[list[tuple[str, float]]]:
    """Find the classes of a segmenter's memory in the image it holds."""
    memory = segmenter.memory
    if memory is None or not len(memory):
        return []
    names = [known.name for known in memory.classes]
    result = yield from segmenter.segment_steps(names, refine=False)
    found = []
    for place, info in enumerate(result.classes):
        pixels = result.labels == info.id
        if pixels.mean() >= _LEAST_SHARE and result.settings["memory"].get(info.name):
            found.append((info.name, float(result.relevance[place][pixels].mean())))
    return sorted(found, key=lambda one: (-one[1], one[0]))
