"""The errors of the relevance maps as a Gaussian process over images.

The residual of a class at a superpixel is the truth less the maps' probability. Superpixels that
look alike to the network, have similar colours and of which the maps say the same have similar
residuals. The Gaussian kernel is approximated by random Fourier features (Rahimi & Recht, *Random
features for large-scale kernel machines*, NIPS 2007), so that an image is added at the cost of one
small product of matrices, and predictions cost the same however many images are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.memory.records import WEAK, ImageRecord, name_key

RANK = 384
"""Number of random Fourier features."""

FEATURE_SCALE = 2.0
"""Length scale over the network's features, which are unit rows."""

COLOUR_SCALE = 2.0
"""Length scale over relative colours."""

PRIOR_SCALE = 1.0
"""Length scale over what the maps say."""

NOISE = 0.5
"""Standard deviation of a residual that one superpixel shows."""

COUNT = 3000
"""Every finished image counts as so many observations."""


LEARNED_SUPERPIXELS = 12_000
"""Superpixels that are learned from, at most, over all images."""


class Moments(NamedTuple):
    """Sums over superpixels that a class is learned from; those of two images can be added.

    Attributes
    ----------
    gram, pull : torch.Tensor
        ``(RANK, RANK)`` and ``(RANK,)`` float64: the normal equations.
    """

    gram: Tensor
    pull: Tensor
    images: int  # how many images they are of

    @classmethod
    def zero(cls) -> Moments:
        """Return those of no image."""
        return cls(
            torch.zeros(RANK, RANK, dtype=torch.float64), torch.zeros(RANK, dtype=torch.float64), 0
        )

    def plus(self, other: Moments) -> Moments:
        """Add those of other images."""
        return Moments(self.gram + other.gram, self.pull + other.pull, self.images + other.images)


class ErrorProcess:
    """Predicts the residual of one class."""

    def __init__(self, moments: Moments) -> None:
        precision = moments.gram + torch.eye(RANK, dtype=torch.float64)
        factor = torch.linalg.cholesky(precision)
        self._weights = torch.cholesky_solve(moments.pull[:, None], factor)[:, 0].float()

    def residual(self, phases: Tensor, prior: Tensor) -> Tensor:
        """Predict ``(n,)`` residuals; arguments as for `fourier`."""
        return torch.mv(fourier(phases, prior), self._weights)


def moments_by_group(
    records: Sequence[ImageRecord], groups: Sequence[int]
) -> dict[str, dict[int, Moments]]:
    """Return the moments of each class, by `name_key`, and of each group of records."""
    most = max(1, LEARNED_SUPERPIXELS // max(1, len(records)))
    found: dict[str, dict[int, Moments]] = {}
    for record, group in zip(records, groups, strict=True):
        rows = slice(None, None, -(-len(record.weights) // most))
        phases = record_phases(record)[rows]
        prior = torch.from_numpy(record.prior[rows]).float()
        for place, name in enumerate(record.classes, 1):
            truth = record.shares[rows, place].astype(np.float32)
            counts = torch.from_numpy(balanced(record.weights[rows], truth)).double()
            counts *= (COUNT if record.finished else COUNT * WEAK) / NOISE**2
            inputs = fourier(phases, prior_summary(prior, place)).double()
            weighted = inputs * counts[:, None]
            errors = (torch.from_numpy(truth) - prior[:, place]).double()
            own = Moments(inputs.T @ weighted, weighted.T @ errors, 1)
            of_class = found.setdefault(name_key(name), {})
            of_class[group] = of_class.get(group, Moments.zero()).plus(own)
    return found


def record_phases(record: ImageRecord) -> Tensor:
    """Return `phases_of` the superpixels of a record."""
    return phases_of(
        torch.from_numpy(record.features).float(), torch.from_numpy(record.colours).float()
    )


def balanced(weights: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh class and rest half way to equal shares; the sum stays."""
    share = float(np.clip((weights * truth).sum(), 1e-3, 1 - 1e-3))
    each: NDArray[np.float32] = weights * (truth / share + (1 - truth) / (1 - share))
    mixed = weights + each
    return np.asarray(mixed / mixed.sum(), np.float32)


def phases_of(features: Tensor, colours: Tensor) -> Tensor:
    """Return what all classes share of the random Fourier features, ``(n, RANK)`` float32.

    `features`: ``(n, C)`` unit rows; `colours`: ``(n, 3)`` relative colours.
    """
    shift, _, of_colours, of_features = _directions(features.shape[1])
    return colours @ of_colours + features @ of_features + shift


def fourier(phases: Tensor, prior: Tensor) -> Tensor:
    """Return random Fourier features of superpixels for one class, ``(n, RANK)`` float32.

    `phases`: ``(n, RANK)``, see `phases_of`; `prior`: ``(n, 3)``, see `prior_summary`.
    """
    _, of_prior, _, _ = _directions(0)
    return torch.cos(prior @ of_prior + phases) * float(np.sqrt(2 / RANK))


@cache
def _directions(width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw shifts and the directions over `prior_summary`, colours and ``width`` features."""
    chance = np.random.default_rng(0)

    def draw(rows: int, scale: float) -> Tensor:
        return torch.from_numpy((chance.standard_normal((rows, RANK)) / scale).astype(np.float32))

    shift = torch.from_numpy(chance.uniform(0, 2 * np.pi, RANK).astype(np.float32))
    return shift, draw(3, PRIOR_SCALE), draw(3, COLOUR_SCALE), draw(width, FEATURE_SCALE)


def prior_summary(prior: Tensor, place: int) -> Tensor:
    """Reduce probabilities ``(n, K + 1)`` to ``(n, 3)``: of the class, background, best other."""
    others = prior.clone()
    others[:, [0, place]] = 0
    return torch.stack([prior[:, place], prior[:, 0], others.amax(1)], dim=1)
