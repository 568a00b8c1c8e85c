"""What a memory learns: its experts, each judged on images that are left out in turn."""

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
    prior_summary,
    record_phases,
)
from napari_wildseg.engine.memory.mixtures import Hindsight, MixtureChoice, Trial
from napari_wildseg.engine.memory.pixel_classifier import PixelClassifier
from napari_wildseg.engine.memory.records import ImageRecord, name_key
from napari_wildseg.engine.memory.resemblance import Resemblance, record_points

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
    """What a memory learned from its records."""

    hindsight: dict[str, Hindsight]  # by `name_key`: how much of it is used
    processes: dict[str, ErrorProcess]  # by `name_key`, of the classes for which it is used
    classifier: PixelClassifier | None  # none where it is used for no class
    resemblance: Resemblance  # with all images; what is unlike them is left to the maps
    detail: float  # `detail_of` the records


def learn(records: Sequence[ImageRecord], *, alike: bool) -> Learned:
    """Learn all classes of a memory, and choose their mixtures."""
    judged = [record.digest for record in records if record.finished]
    if len(judged) < 2:
        # Labels of images that were only corrected are refined ones. They err towards the maps, so
        # they open the gate later than true labels would, not earlier.
        judged = [record.digest for record in records]
    folds = min(FOLDS, len(judged))
    # The others are in a fold that is never left out.
    fold = {digest: number % folds for number, digest in enumerate(judged)}
    groups = [fold.get(record.digest, folds) for record in records]
    moments = moments_by_group(records, groups)
    hindsight = _cross_validate(records, groups, folds, moments, alike=alike)
    processes = {
        key: ErrorProcess(_sum(moments[key].values()))
        for key, judged in hindsight.items()
        if judged.alpha
    }
    fine = any(judged.beta for judged in hindsight.values())
    classifier = PixelClassifier(records) if fine else None
    return Learned(hindsight, processes, classifier, Resemblance(records), detail_of(records))


def _sum(moments: Iterable[Moments]) -> Moments:
    return reduce(Moments.plus, moments, Moments.zero())


def _cross_validate(
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
    start = MixtureChoice.uniform(keys, trials)
    best = max([start.improved(), start.plain().improved()], key=lambda choice: choice.bound)
    found = best.hindsight()
    if alike:
        untried = Hindsight(*UNTRIED)
        found |= {key: untried for key, judged in found.items() if len(judged.ious) < 2}
    return found


def detail_of(records: Sequence[ImageRecord]) -> float:
    """Return how much of the labels is finer than superpixels, from 0 to 1."""
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
) -> list[Trial]:
    """Let the experts predict the images of one fold, having learned from all others."""
    pairs = list(zip(records, groups, strict=True))
    rest = [record for record, group in pairs if group != fold]
    classifier = PixelClassifier(rest, samples=TRIAL_SAMPLES, networks=1, epochs=8)
    resemblance = Resemblance(rest)
    processes = {}
    for key, of_class in moments.items():
        others = _sum(own for group, own in of_class.items() if group != fold)
        if others.images and fold in of_class:
            processes[key] = ErrorProcess(others)
    found = []
    for record in (record for record, group in pairs if group == fold):
        residual = np.zeros((len(record.classes), len(record.features)), np.float32)
        phases, prior = record_phases(record), torch.from_numpy(record.prior).float()
        for place, name in enumerate(record.classes, 1):
            if name_key(name) in processes:
                process = processes[name_key(name)]
                residual[place - 1] = process.residual(phases, prior_summary(prior, place)).numpy()
        features = record.features.astype(np.float32)
        bank = record.filters[:TRIAL_PIXELS].astype(np.float32)
        index = record.pixel_pieces[:TRIAL_PIXELS]
        classified = classifier.probabilities(record.classes, features, bank, index).T
        familiar = resemblance.of(record_points(record)).numpy()
        found.append(Trial.of(record, residual, classified, familiar))
    return found
