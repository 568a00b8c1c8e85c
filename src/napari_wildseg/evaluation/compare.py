"""`compare`: several refiners on the same seeds, each with the simulated annotator."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.evaluation.annotators.annotator import check_annotator
from napari_wildseg.evaluation.cases import SegmenterLike, case_steps
from napari_wildseg.evaluation.evaluate import DabCurves, Tally, spread_evenly
from napari_wildseg.evaluation.evaluation_set import EvaluationSet
from napari_wildseg.evaluation.metrics import boundary_f


@dataclass(frozen=True)
class RefinerFigures:
    """How one refiner did."""

    refiner: str  # its name
    miou: float  # as in `Evaluation`, before any dab
    boundary_f: float  # at 2 pixels, before any dab
    seconds: float  # mean of its first run on an image
    rerun: float | None  # mean seconds of a run after a dab
    clicks: list[float]  # mean IoU per image after 0, 1, ... dabs
    noc85: float | None = None  # mean number of dabs to 85 %
    # How often a refinement after a dab made an image worse; see `Drops.to_json`.
    drops: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return dict(vars(self))


def compare(
    segmenter: SegmenterLike, data: EvaluationSet, refiners: Sequence[str], **options: Any
) -> list[RefinerFigures]:
    """Run `compare_steps` to its end."""
    return drain(compare_steps(segmenter, data, refiners, **options))


def compare_steps(
    segmenter: SegmenterLike,
    data: EvaluationSet,
    refiners: Sequence[str],
    *,
    clicks: int = 0,
    annotator: str = "dab",
    limit: int | None = None,
) -> Steps[list[RefinerFigures]]:
    """Measure several refiners side by side."""
    if not refiners or len(set(refiners)) < len(refiners):
        raise InputError("Name the refiners to compare, each once.")
    check_annotator(annotator)
    items = spread_evenly(data.items, limit)
    tallies = {name: Tally(data.per_image) for name in refiners}
    boundary: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    reruns: dict[str, list[float]] = defaultdict(list)
    dabs = {name: DabCurves(clicks, annotator) for name in refiners}
    at_first = segmenter.refiner
    try:
        for index, item in enumerate(items):
            at = (index, len(items))
            yield Progress(*at, f"Image {index + 1} of {len(items)}")
            # Not refined here, so that no refiner profits from an earlier one.
            case = yield from case_steps(segmenter, data, item, labels="known", at=at, refine=False)
            if case is None:
                continue
            for name in refiners:
                yield Progress(*at, f"Image {index + 1} of {len(items)}: {name}")
                segmenter.refiner = name
                started = time.perf_counter()
                labels = case.refine()
                seconds[name].append(time.perf_counter() - started)
                case.reruns.clear()
                tallies[name].add(item, case.truth, labels, case.values)
                boundary[name].append(boundary_f(case.truth, labels, case.values))
                dabs[name].add(case, labels)
                reruns[name] += case.reruns
    finally:
        segmenter.refiner = at_first
    if not boundary:
        raise data.without_classes()
    return [
        RefinerFigures(
            refiner=name,
            miou=tallies[name].miou(),
            boundary_f=float(np.mean(boundary[name])),
            seconds=float(np.mean(seconds[name])),
            rerun=float(np.mean(reruns[name])) if reruns[name] else None,
            **dabs[name].figures(),
        )
        for name in refiners
    ]
