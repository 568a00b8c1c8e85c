"""The gate: how much each expert is listened to, judged by leaving finished images out in turn.

Three experts speak of a class: the relevance maps, the process over their errors, and the pixel
classifier. For each class, the mixture is taken whose IoU on the finished images is best, less
some standard errors of its gain over the maps alone; an image that is judged was not learned
from. So a memory that would do harm, as one of unrelated scenes does, is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from napari_wildseg.engine.memory.error_process import (
    ErrorProcess,
    moments_of,
    place_of,
    said_of,
    total_of,
)
from napari_wildseg.engine.memory.pixel_classifier import PixelClassifier
from napari_wildseg.engine.memory.records import ImageRecord, name_key

MIXTURES = tuple(
    (alpha, beta) for beta in (0.0, 0.25, 0.5, 0.75, 1.0) for alpha in (0.0, 0.25, 0.5, 1.0)
)
"""Shares tried: of the predicted error of the maps, and of the pixel classifier. The first is the
maps alone."""

UNTRIED = (1.0, 0.5)
"""The mixture after one image, where the annotator says that the images are alike."""

WHOLE, FINE = 0.9, 0.7
"""See `detail_of`."""

LOWEST = 0.6
"""Least IoU that a factor on the odds is made of."""

LEAST_SPREAD = 0.1
"""Gains are not taken to vary less than this from image to image."""

DOUBT = 3.0
"""A gain must exceed ``1 + DOUBT / n`` standard errors on n images: of many mixtures the best is
taken, and a few images tell little."""

JUDGED = 6000
"""Pixels that those are fitted to, at most."""

FOLDS = 4
"""The pixel classifier is fitted so often without some of the images, at most."""


@dataclass(frozen=True)
class Hindsight:
    """What would have come of one class in finished images that were not learned from.

    Attributes
    ----------
    alpha, beta : float
        The mixture that is used (`MIXTURES`); both 0 where the memory is not.
    gain : float
        Factor on the odds of the class: 1 / IoU. A pixel is best given to a class where its odds
        exceed the IoU that is reached (Nowozin, *Optimal decisions from probabilistic models: the
        intersection-over-union case*, CVPR 2014).
    as_met : bool
        Of `PixelClassifier.probabilities`; the same for all classes.
    ious : dict of str to (float, float)
        By digest of the image: IoU of the maps alone, and of the mixture.
    """

    alpha: float = 0.0
    beta: float = 0.0
    gain: float = 1.0
    as_met: bool = True
    ious: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def reached(self) -> float:
        """Mean IoU of the mixture, 0 where nothing is known of it."""
        return float(np.mean([after for _, after in self.ious.values()])) if self.ious else 0.0


def mix(
    said: NDArray[np.float32],
    residual: NDArray[np.float32],
    classified: NDArray[np.float32],
    alpha: NDArray[np.float32],
    beta: NDArray[np.float32],
    gain: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Mix what three experts say.

    Parameters
    ----------
    said : ndarray
        ``(K + 1, ...)`` probabilities from the maps, background first.
    residual : ndarray
        ``(K, ...)`` predicted errors of the maps.
    classified : ndarray
        ``(K, ...)`` probabilities from the pixel classifier.
    alpha, beta : ndarray
        ``(K,)`` shares of both.
    gain : ndarray
        ``(K,)`` factors on the odds of the classes, see `Hindsight`.

    Returns
    -------
    ndarray
        ``(K + 1, ...)`` float32 probabilities of sum 1.
    """
    width = (-1, *(1,) * (said.ndim - 1))
    alpha, beta = alpha.reshape(width), beta.reshape(width)
    mixed = np.clip(said[1:] + alpha * residual, LEAST, 1)
    mixed += beta * (classified - mixed)
    background = np.clip(1 - mixed.sum(0, keepdims=True), LEAST, 1)
    found = np.concatenate([background, mixed * gain.reshape(width)])
    return np.asarray(found / found.sum(0), np.float32)


LEAST = np.float32(1e-3)
"""Probabilities are kept away from zero, so that a threshold can still change the label."""


def look_back(records: Sequence[ImageRecord], *, alike: bool) -> dict[str, Hindsight]:
    """Judge all classes of a memory.

    Parameters
    ----------
    records : sequence of ImageRecord
        All of them, in a fixed order.
    alike : bool
        Whether the annotator says that the images are alike: one is then enough to learn from.

    Returns
    -------
    dict of str to Hindsight
        By `name_key`.
    """
    keys = sorted({name_key(name) for record in records for name in record.classes})
    finished = [record for record in records if record.finished]
    if len(finished) < 2:
        untried = Hindsight(*UNTRIED) if alike else Hindsight()
        return dict.fromkeys(keys, untried)
    residuals = {record.digest: _zeros(record, len(record.looks)) for record in finished}
    for key in keys:
        for digest, place, values in _errors_without(records, key):
            residuals[digest][place - 1] = values
    variants = [
        _judge_all(keys, residuals, classified, alike=alike, as_met=as_met)
        for as_met, classified in _classified_without(records, finished).items()
    ]
    # Small classes gain from even labels, a single class loses: that is tried too.
    return max(variants, key=lambda found: np.mean([judged.reached for judged in found.values()]))


def _judge_all(
    keys: Sequence[str],
    residuals: dict[str, NDArray[np.float32]],
    classified: Sequence[tuple[ImageRecord, NDArray[np.float32]]],
    *,
    alike: bool,
    as_met: bool,
) -> dict[str, Hindsight]:
    """Judge all classes, with labels as frequent as in the images or as in the samples."""
    odds = dict.fromkeys(keys, np.ones(len(MIXTURES), np.float32))
    if as_met:
        ious = _tables(keys, residuals, classified, odds)
        odds |= {key: _gains(list(found.values())) for key, found in ious.items() if found}
    ious = _tables(keys, residuals, classified, odds)
    return {
        key: _judged(found, odds[key], alike=alike, as_met=as_met) for key, found in ious.items()
    }


def _tables(
    keys: Sequence[str],
    residuals: dict[str, NDArray[np.float32]],
    classified: Sequence[tuple[ImageRecord, NDArray[np.float32]]],
    odds: dict[str, NDArray[np.float32]],
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """``(len(MIXTURES),)`` IoUs by class and image, with factors on the odds of each class."""
    ious: dict[str, dict[str, NDArray[np.float64]]] = {key: {} for key in keys}
    for record, values in classified:
        gains = np.stack([odds[name_key(name)] for name in record.classes], axis=1)
        table = _ious(record, residuals[record.digest], values, gains)
        for name, column in zip(record.classes, table.T, strict=True):
            ious[name_key(name)][record.digest] = column
    return ious


def detail_of(records: Sequence[ImageRecord]) -> float:
    """Say how much of the labels is finer than superpixels, from 0 to 1.

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
        for place in range(shares.shape[1]):
            own = best == place
            true = (weights * shares[:, place]).sum()
            inside = (weights * shares[:, place] * own).sum()
            union = true + (weights * (1 - shares[:, place]) * own).sum()
            if place and true:
                reached.append(inside / union)
    if not reached:
        return 0.0
    return float(np.clip((WHOLE - np.mean(reached)) / (WHOLE - FINE), 0, 1))


def _zeros(record: ImageRecord, count: int) -> NDArray[np.float32]:
    return np.zeros((len(record.classes), count), np.float32)


def _errors_without(
    records: Sequence[ImageRecord], key: str
) -> list[tuple[str, int, NDArray[np.float32]]]:
    """Predict the errors of each finished image from all others: digest, place and ``(n,)``."""
    asked = [record for record in records if place_of(record, key)]
    moments = [moments_of(record, key) for record in asked]
    gram, pull = total_of(moments)
    found = []
    for record, (own_gram, own_pull) in zip(asked, moments, strict=True):
        if record.finished and len(asked) > 1:
            process = ErrorProcess(gram - own_gram, pull - own_pull)
            place = place_of(record, key)
            residual = process.residual(
                torch.from_numpy(record.looks).float(),
                torch.from_numpy(record.colours).float(),
                said_of(torch.from_numpy(record.said).float(), place),
            )
            found.append((record.digest, place, residual.numpy()))
    return found


def _classified_without(
    records: Sequence[ImageRecord], finished: Sequence[ImageRecord]
) -> dict[bool, list[tuple[ImageRecord, NDArray[np.float32]]]]:
    """Classify the sampled pixels of each finished image by others, ``(K, m)``; by ``as_met``."""
    folds = min(FOLDS, len(finished))
    found: dict[bool, list[tuple[ImageRecord, NDArray[np.float32]]]] = {False: [], True: []}
    for fold in range(folds):
        left_out = finished[fold::folds]
        rest = [record for record in records if not any(record is r for r in left_out)]
        classifier = PixelClassifier(rest, samples=JUDGED, networks=1, epochs=8)
        for record in left_out:
            looks, bank = record.looks.astype(np.float32), record.filters.astype(np.float32)
            for as_met, done in found.items():
                values = classifier.probabilities(
                    record.classes, looks, bank, record.pixel_pieces, as_met=as_met
                )
                done.append((record, values.T))
    return found


def _ious(
    record: ImageRecord,
    residual: NDArray[np.float32],
    classified: NDArray[np.float32],
    gains: NDArray[np.float32],
) -> NDArray[np.float64]:
    """``(len(MIXTURES), K)`` IoU of each class if all classes were mixed alike.

    ``gains`` are ``(len(MIXTURES), K)`` factors on the odds.
    """
    said = record.said[record.pixel_pieces].T.astype(np.float32)
    residual = residual[:, record.pixel_pieces]
    count = len(record.classes)
    known = np.asarray(~np.isnan(classified).any(1))
    classified = np.where(known[:, None], classified, 0)
    truth, weights = record.pixel_labels, record.pixel_weights
    found = np.zeros((len(MIXTURES), count))
    for row, (alpha, beta) in enumerate(MIXTURES):
        betas = np.where(known, np.float32(beta), 0)
        alphas = np.full(count, alpha, np.float32)
        labels = mix(said, residual, classified, alphas, betas, gains[row]).argmax(0)
        for place in range(1, count + 1):
            there, seen = truth == place, labels == place
            union = weights[there | seen].sum()
            found[row, place - 1] = weights[there & seen].sum() / union if union else 1.0
    return found


def _gains(ious: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """``(len(MIXTURES),)`` factors on the odds of a class, given its IoUs image by image."""
    found = 1 / np.clip(np.mean(ious, axis=0), LOWEST, 1)
    found[0] = 1.0  # the maps alone stay as they are
    return np.asarray(found, np.float32)


def _judged(
    ious: dict[str, NDArray[np.float64]],
    odds: NDArray[np.float32],
    *,
    alike: bool,
    as_met: bool,
) -> Hindsight:
    """Choose a mixture by its gains over the maps alone."""
    if len(ious) < 2:
        return Hindsight(*UNTRIED) if alike else Hindsight()
    table = np.stack(list(ious.values()), axis=1)
    gains = table - table[0]
    count = table.shape[1]
    error = np.maximum(gains.std(1, ddof=1), LEAST_SPREAD) / np.sqrt(count)
    score = gains.mean(1) - error * (1 + DOUBT / count)
    score[0] = 0.0
    best = int(score.argmax())
    pairs = {digest: (float(c[0]), float(c[best])) for digest, c in ious.items()}
    return Hindsight(*MIXTURES[best], float(odds[best]), as_met, pairs)
