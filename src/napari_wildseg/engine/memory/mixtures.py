"""The gate: the mixture of experts of each class, judged on images that were left out.

Three experts predict the classes: the relevance maps, the process over their errors, and the
pixel classifier. Mixtures are judged by the mean IoU over all classes of an image, background
included, where the classes compete for its pixels: what one class takes from another counts. A
class that no other image was asked for is left to the maps, as in a new image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_wildseg.engine.memory.records import ImageRecord, name_key

ALPHAS, BETAS = (0.0, 0.5, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares tried: of the predicted error of the maps, and of the pixel classifier."""

MIXTURES = tuple((alpha, beta) for beta in BETAS for alpha in ALPHAS)
"""All pairs of shares. The first is the maps alone."""

LEAST_SPREAD = 0.1
"""Gains are not taken to vary less than this from image to image."""

DOUBT = 3.0
"""A gain must exceed ``1 + DOUBT / n`` standard errors on n images: of many mixtures the best is
taken, and a few images tell little."""

JUDGED = 24
"""Images that a mixture is chosen on, at most."""

ROUNDS = 2
"""How often the mixtures of all classes are gone through."""

LEAST = np.float32(1e-3)
"""Probabilities are kept away from zero, so that a threshold can still change the label."""


@dataclass(frozen=True)
class Hindsight:
    """How one class is predicted, and how well that did on images that were left out.

    Attributes
    ----------
    alpha, beta : float
        The mixture that is used (`MIXTURES`); both 0 where the memory is not.
    """

    alpha: float = 0.0
    beta: float = 0.0
    # By digest of the image: IoU of the maps alone, and of the mixtures.
    ious: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def reached(self) -> float:
        """Mean IoU of the mixture, 0 where nothing is known of it."""
        return float(np.mean([after for _, after in self.ious.values()])) if self.ious else 0.0


def mix(
    prior: NDArray[np.float32],
    residual: NDArray[np.float32],
    classified: NDArray[np.float32],
    alpha: NDArray[np.float32],
    beta: NDArray[np.float32],
    familiar: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Mix the predictions of the three experts.

    `prior`: ``(K + 1, ...)`` probabilities from the maps, background first; `residual`:
    ``(K, ...)`` predicted errors of the maps; `classified`: ``(K, ...)`` probabilities from the
    pixel classifier; `alpha`, `beta`: ``(K,)`` shares of both; `familiar`: ``(...)`` from 0, where
    the maps alone count, to 1; returns ``(K + 1, ...)`` float32 probabilities of sum 1.
    """
    width = (-1, *(1,) * (prior.ndim - 1))
    alpha, beta = alpha.reshape(width), beta.reshape(width)
    mixed = np.clip(prior[1:] + alpha * residual, LEAST, 1)
    mixed += beta * (classified - mixed)
    mixed = prior[1:] + familiar * (mixed - prior[1:])
    background = np.clip(1 - mixed.sum(0, keepdims=True), LEAST, 1)
    found = np.concatenate([background, mixed])
    return np.asarray(found / found.sum(0), np.float32)


@dataclass(frozen=True)
class Trial:
    """One finished image, and what the experts predict of it without having seen it.

    Attributes
    ----------
    prior, residual, classified, familiar : ndarray
        As for `mix`, of ``m`` sampled pixels.
    """

    digest: str  # of the image
    keys: tuple[str, ...]  # its K classes
    known: NDArray[np.bool_]  # ``(K,)`` bool: whether another image was asked for the class
    prior: NDArray[np.float32]
    residual: NDArray[np.float32]
    classified: NDArray[np.float32]
    familiar: NDArray[np.float32]
    truth: NDArray[np.int64]  # ``(m,)`` places of their labels
    weights: NDArray[np.float64]  # ``(m,)`` float64, share of the image that each stands for

    @classmethod
    def of(
        cls,
        record: ImageRecord,
        residual: NDArray[np.float32],
        classified: NDArray[np.float32],
        familiar: NDArray[np.float32],
    ) -> Trial:
        """Begin with residuals ``(K, n)`` of superpixels and probabilities ``(K, m)`` of pixels."""
        superpixels = record.pixel_pieces[: classified.shape[1]]
        known = np.asarray(~np.isnan(classified).any(1))
        return cls(
            record.digest,
            tuple(map(name_key, record.classes)),
            known,
            np.ascontiguousarray(record.prior[superpixels].T, np.float32),
            residual[:, superpixels],
            np.where(known[:, None], classified, 0).astype(np.float32),
            familiar[superpixels],
            record.pixel_labels[: len(superpixels)].astype(np.int64),
            record.pixel_weights[: len(superpixels)].astype(np.float64),
        )

    @property
    def keys_known(self) -> list[str]:
        """The classes that another image was asked for too."""
        return [key for key, known in zip(self.keys, self.known, strict=True) if known]

    def ious(self, mixtures: dict[str, int]) -> NDArray[np.float64]:
        """Return ``(K + 1,)`` IoUs, background first; 1 where a class is neither there nor seen.

        ``mixtures`` are places in `MIXTURES` by class.
        """
        chosen = np.array([mixtures[key] for key in self.keys]) * self.known
        alpha, beta = np.array(MIXTURES, np.float32)[chosen].T
        mixed = mix(self.prior, self.residual, self.classified, alpha, beta, self.familiar)
        labels, count = mixed.argmax(0), len(self.keys) + 1
        true = np.bincount(self.truth, self.weights, count)
        seen = np.bincount(labels, self.weights, count)
        right = labels == self.truth
        both = np.bincount(labels[right], self.weights[right], count)
        union = true + seen - both
        return np.where(union > 0, both / np.maximum(union, 1e-12), 1.0)


@dataclass(frozen=True)
class MixtureChoice:
    """Mixtures of all classes, as places in `MIXTURES`, and the images to judge them on."""

    trials: Sequence[Trial]
    mixtures: dict[str, int]

    @classmethod
    def uniform(cls, keys: Sequence[str], trials: Sequence[Trial]) -> MixtureChoice:
        """Take the same mixture for all classes: the one with the best lower bound."""
        choices = [cls(trials, dict.fromkeys(keys, row)) for row in range(len(MIXTURES))]
        means = np.array([choice.means() for choice in choices])
        bounds = [lower_bound(gains) for gains in smoothed(means - means[0])]
        return choices[int(np.argmax(bounds))]

    def means(self) -> NDArray[np.float64]:
        """Mean IoU of each image, or of `JUDGED` of them."""
        trials = _sample_evenly(self.trials)
        return np.array([trial.ious(self.mixtures).mean() for trial in trials])

    @property
    def bound(self) -> float:
        """Lower bound of the gain over the maps alone."""
        return lower_bound(self.means() - self.plain().means())

    def plain(self) -> MixtureChoice:
        """Use the maps alone."""
        return replace(self, mixtures=dict.fromkeys(self.mixtures, 0))

    def improved(self) -> MixtureChoice:
        """Choose the mixture of each class in turn, the others being as they are."""
        mixtures = dict(self.mixtures)
        for key in list(mixtures) * ROUNDS:
            asked = _sample_evenly([trial for trial in self.trials if key in trial.keys_known])
            if len(asked) < 2:  # too few to judge
                mixtures[key] = 0
                continue
            sums = np.array(
                [
                    [t.ious({**mixtures, key: row}).sum() for t in asked]
                    for row in range(len(MIXTURES))
                ]
            )
            gains = smoothed(sums - sums[:1])
            mixtures[key] = int(np.argmax([0.0, *map(lower_bound, gains[1:])]))
        return replace(self, mixtures=mixtures)

    def hindsight(self) -> dict[str, Hindsight]:
        """Return the figures of each class."""
        found = {key: Hindsight(*MIXTURES[row]) for key, row in self.mixtures.items()}
        plain = self.plain()
        for trial in self.trials:
            before = trial.ious(plain.mixtures)
            after = trial.ious(self.mixtures)
            for place, key in enumerate(trial.keys, 1):
                if trial.known[place - 1]:
                    found[key].ious[trial.digest] = float(before[place]), float(after[place])
        return found


def _sample_evenly(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Return `JUDGED` trials at most, evenly spread."""
    return trials[:: max(1, -(-len(trials) // JUDGED))]


def smoothed(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the gain of each mixture with its neighbours', which count as much as one image each.

    A mixture that is best by chance has bad neighbours: a little more of an expert, and the class
    is lost. `gains`: ``(len(MIXTURES), n)``, one column an image; returns the same shape.
    """
    count = gains.shape[1]
    grid = gains.reshape(len(BETAS), len(ALPHAS), count)
    weights = np.array([[0, 1, 0], [1, count, 1], [0, 1, 0]], float)[..., None]
    total, weight = (
        ndimage.correlate(values, weights, mode="constant")
        for values in (grid, np.ones(grid.shape))
    )
    return np.asarray((total / weight).reshape(gains.shape))


def lower_bound(gains: NDArray[np.float64]) -> float:
    """Return the mean of gains, one an image, less ``1 + DOUBT / n`` standard errors."""
    count = len(gains)
    if count < 2:
        return -np.inf
    error = max(float(gains.std(ddof=1)), LEAST_SPREAD) / np.sqrt(count)
    return float(gains.mean() - error * (1 + DOUBT / count))
