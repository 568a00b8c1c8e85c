"""What a memory learns: its experts, each judged on finished images that are left out in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from napari_wildseg.engine.memory.error_process import (
    ErrorProcess,
    Moments,
    moments_by_group,
    record_phases,
    said_of,
)
from napari_wildseg.engine.memory.mixtures import Choice, Hindsight, Trial
from napari_wildseg.engine.memory.pixel_classifier import PixelClassifier
from napari_wildseg.engine.memory.records import ImageRecord, name_key

UNTRIED = (1.0, 0.5)
"""The mixture after one image, where the annotator says that the images are alike."""

WHOLE, FINE = 0.9, 0.7
"""See `detail_of`."""

TRIAL_PIXELS = 1500
"""Pixels of an image that mixtures are judged on, at most."""

TRIAL_SAMPLES = 6000
"""Pixels that classifiers are fitted to for judging, at most."""

FOLDS = 4
"""The pixel classifier is fitted so often without some of the images, at most."""


@dataclass(frozen=True)
class Learned:
    """What a memory learned from its records.

    Attributes
    ----------
    hindsight : dict of str to Hindsight
        By `name_key`: how much of it is used.
    processes : dict of str to ErrorProcess
        By `name_key`, of the classes for which it is used.
    classifier : PixelClassifier or None
        None where it is used for no class.
    detail : float
        `detail_of` the records.
    """

    hindsight: dict[str, Hindsight]
    processes: dict[str, ErrorProcess]
    classifier: PixelClassifier | None
    detail: float


def learn(records: Sequence[ImageRecord], *, alike: bool) -> Learned:
    """Learn all classes of a memory, and choose their mixtures.

    Parameters
    ----------
    records : sequence of ImageRecord
        All of them, in a fixed order.
    alike : bool
        Whether the annotator says that the images are alike: one is then enough to learn from.
    """
    finished = [record.digest for record in records if record.finished]
    folds = min(FOLDS, len(finished))
    # Unfinished images are in a fold that is never left out: they cannot be judged.
    fold = {digest: number % folds for number, digest in enumerate(finished)}
    groups = [fold.get(record.digest, folds) for record in records]
    moments = moments_by_group(records, groups)
    hindsight = _judge(records, groups, folds, moments, alike=alike)
    processes = {
        key: ErrorProcess(_sum(moments[key].values()))
        for key, judged in hindsight.items()
        if judged.alpha
    }
    fine = any(judged.beta for judged in hindsight.values())
    classifier = PixelClassifier(records) if fine else None
    return Learned(hindsight, processes, classifier, detail_of(records))


def _sum(moments: Iterable[Moments]) -> Moments:
    return reduce(Moments.plus, moments, Moments.zero())


def _judge(
    records: Sequence[ImageRecord],
    groups: Sequence[int],
    folds: int,
    moments: dict[str, dict[int, Moments]],
    *,
    alike: bool,
) -> dict[str, Hindsight]:
    """Choose the mixtures of all classes by folds that are left out in turn."""
    keys = sorted(moments)
    if folds < 2:
        return dict.fromkeys(keys, Hindsight(*UNTRIED) if alike else Hindsight())
    trials = [trial for fold in range(folds) for trial in _trials(records, groups, fold, moments)]
    # Small classes gain from even labels, a single class loses: that is tried too.
    starts = [
        Choice.uniform(keys, [trial[as_met] for trial in trials], scaled=as_met)
        for as_met in (False, True)
    ]
    as_met = starts[1].bound >= starts[0].bound
    start = starts[as_met]
    best = max([start.improved(), start.plain().improved()], key=lambda choice: choice.bound)
    found = best.hindsight(as_met)
    if alike:
        untried = Hindsight(*UNTRIED, as_met=as_met)
        found |= {key: untried for key, judged in found.items() if len(judged.ious) < 2}
    return found


def detail_of(records: Sequence[ImageRecord]) -> float:
    """Return how much of the labels is finer than superpixels, from 0 to 1.

    Parameters
    ----------
    records : sequence of ImageRecord
        Remembered images.

    Returns
    -------
    float
        0 where the labels that most of each superpixel has would reach a mean IoU of
        `WHOLE`, 1 where they would reach `FINE` or less.
    """
    reached = []
    for record in records:
        shares, weights = record.shares.astype(np.float64), record.weights
        best = shares.argmax(1)
        for place in range(1, shares.shape[1]):
            own = best == place
            true = (weights * shares[:, place]).sum()
            inside = (weights * shares[:, place] * own).sum()
            union = true + (weights * (1 - shares[:, place]) * own).sum()
            if true:
                reached.append(inside / union)
    if not reached:
        return 0.0
    return float(np.clip((WHOLE - np.mean(reached)) / (WHOLE - FINE), 0, 1))


def _trials(
    records: Sequence[ImageRecord],
    groups: Sequence[int],
    fold: int,
    moments: dict[str, dict[int, Moments]],
) -> list[tuple[Trial, Trial]]:
    """Let the experts predict the images of one fold, having learned from all others.

    Each image once with labels as frequent as in the samples, and once as in the images.
    """
    pairs = list(zip(records, groups, strict=True))
    rest = [record for record, group in pairs if group != fold]
    classifier = PixelClassifier(rest, samples=TRIAL_SAMPLES, networks=1, epochs=8)
    processes = {}
    for key, of_class in moments.items():
        others = _sum(own for group, own in of_class.items() if group != fold)
        if others.images and fold in of_class:
            processes[key] = ErrorProcess(others)
    found = []
    for record in (record for record, group in pairs if group == fold):
        residual = np.zeros((len(record.classes), len(record.looks)), np.float32)
        phases, said = record_phases(record), torch.from_numpy(record.said).float()
        for place, name in enumerate(record.classes, 1):
            if name_key(name) in processes:
                process = processes[name_key(name)]
                residual[place - 1] = process.residual(phases, said_of(said, place)).numpy()
        looks = record.looks.astype(np.float32)
        bank = record.filters[:TRIAL_PIXELS].astype(np.float32)
        index = record.pixel_pieces[:TRIAL_PIXELS]
        even, met = (
            classifier.probabilities(record.classes, looks, bank, index, as_met=as_met).T
            for as_met in (False, True)
        )
        found.append((Trial.of(record, residual, even), Trial.of(record, residual, met)))
    return found
