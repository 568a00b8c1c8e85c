"""Automatic segmentation: suggest class names, segment, and drop the classes without pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wildseg.engine.classes import MAX_CLASSES, ClassInfo, fold, parse_classes
from napari_wildseg.engine.maps.thresholds import PRESENT_SCORE, checked_threshold
from napari_wildseg.engine.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_wildseg.engine.result import Result
    from napari_wildseg.engine.segmenter import Segmenter

_MAX_ROUNDS = 3
_MIN_SHARE = 0.01


def automatic_classes(
    segmenter: Segmenter, vocabulary: str | Sequence[str], cut: float = PRESENT_SCORE
) -> tuple[ClassInfo, ...]:
    """Suggest names for the segmenter's image and keep those that score at least ``cut``."""
    checked_threshold(cut, "cut")
    found = segmenter.suggest(vocabulary, top=MAX_CLASSES)
    names = [name for name, score in found if score >= cut] or [found[0][0]]
    return parse_classes(names)


def segment_auto_steps(
    segmenter: Segmenter,
    vocabulary: str | Sequence[str] = "coco",
    *,
    cut: float = PRESENT_SCORE,
    threshold: float | None = None,
    refine: bool = True,
) -> Steps[Result]:
    """Segment the image into its suggested classes; see `Segmenter.segment_auto`."""
    yield Progress(0, 3, "Looking for names")
    classes = automatic_classes(segmenter, vocabulary, cut)
    dropped: list[str] = []
    for _ in range(_MAX_ROUNDS):
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


def suggest_steps(
    segmenter: Segmenter, vocabulary: str | Sequence[str], top: int
) -> Steps[list[tuple[str, float]]]:
    """Suggest the classes that a memory finds in the image, then other names of a vocabulary.

    With a memory, the segmenter holds a segmentation into the memory's classes afterwards.
    """
    yield Progress(0, 1, "Looking for names")
    found = segmenter.suggest(vocabulary, top=top)
    recalled = yield from _recalled_names_steps(segmenter)
    known = {fold(name) for name, _ in recalled}
    return [*recalled, *(one for one in found if fold(one[0]) not in known)][:top]


def _recalled_names_steps(segmenter: Segmenter) -> Steps[list[tuple[str, float]]]:
    """Segment with the memory's classes and return those found, with their mean relevance."""
    memory = segmenter.memory
    if memory is None or not len(memory):
        return []
    names = [known.name for known in memory.classes]
    result = yield from segmenter.segment_steps(names, refine=False)
    found = []
    for place, info in enumerate(result.classes):
        pixels = result.labels == info.id
        if pixels.mean() >= _MIN_SHARE and result.settings["memory"].get(info.name):
            found.append((info.name, float(result.relevance[place][pixels].mean())))
    return sorted(found, key=lambda one: (-one[1], one[0]))
