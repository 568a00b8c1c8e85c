"""The errors of the relevance maps as a Gaussian process over images.

The residual of a class at a superpixel is the truth less the maps' probability. Superpixels that
look alike to the network, have similar colours and of which the maps say the same have similar
residuals. The Gaussian kernel is approximated by random Fourier features (Rahimi & Recht, *Random
features for large-scale kernel machines*, NIPS 2007), so that an image is added at the cost of one
small product of matrices, and predictions cost the same however many images are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.memory.records import ImageRecord, name_key

RANK = 384
"""Number of random Fourier features."""

ALIKE = 2.0
"""Length scale over the network's features, which are unit rows."""

COLOUR = 2.0
"""Length scale over relative colours."""

SAID = 1.0
"""Length scale over what the maps say."""

NOISE = 0.5
"""Standard deviation of a residual that one superpixel shows."""

COUNT = 3000
"""Every finished image counts as so many observations."""

WEAK = 0.3
"""An image that was only corrected counts as this share of a finished one."""


class ErrorProcess:
    """Predicts the residual of one class.

    Parameters
    ----------
    gram, pull : torch.Tensor
        ``(RANK, RANK)`` and ``(RANK,)`` float64: sums of `moments_of` over images.
    """

    def __init__(self, gram: Tensor, pull: Tensor) -> None:
        prior = torch.eye(RANK, dtype=torch.float64)
        self._weights = torch.linalg.solve(gram + prior, pull).float()

    @classmethod
    def of(cls, records: Sequence[ImageRecord], name: str) -> ErrorProcess:
        """Learn a class from the records that were asked for it."""
        moments = [moments_of(record, name) for record in records if place_of(record, name)]
        return cls(*total_of(moments))

    def residual(self, looks: Tensor, colours: Tensor, said: Tensor) -> Tensor:
        """Predict ``(n,)`` residuals; arguments as for `fourier`."""
        return torch.mv(fourier(looks, colours, said), self._weights)


def total_of(moments: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Add up moments, in their order."""
    gram, pull = moments[0]
    for own_gram, own_pull in moments[1:]:
        gram, pull = gram + own_gram, pull + own_pull
    return gram, pull


def moments_of(record: ImageRecord, name: str) -> tuple[Tensor, Tensor]:
    """Return what a record adds to the normal equations: ``(r, r)`` and ``(r,)`` float64."""
    place = place_of(record, name)
    said = torch.from_numpy(record.said).float()
    features = fourier(
        torch.from_numpy(record.looks).float(),
        torch.from_numpy(record.colours).float(),
        said_of(said, place),
    ).double()
    truth = torch.from_numpy(record.shares[:, place]).float()
    counts = torch.from_numpy(balanced(record.weights, truth.numpy())).double()
    counts *= (COUNT if record.finished else COUNT * WEAK) / NOISE**2
    weighted = features * counts[:, None]
    return features.T @ weighted, weighted.T @ (truth - said[:, place]).double()


def balanced(weights: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh class and rest half way to equal shares; the sum stays."""
    share = float(np.clip((weights * truth).sum(), 1e-3, 1 - 1e-3))
    each: NDArray[np.float32] = weights * (truth / share + (1 - truth) / (1 - share))
    mixed = weights + each
    return np.asarray(mixed / mixed.sum(), np.float32)


def fourier(looks: Tensor, colours: Tensor, said: Tensor) -> Tensor:
    """Return random Fourier features of superpixels, ``(n, RANK)`` float32.

    Parameters
    ----------
    looks : torch.Tensor
        ``(n, C)`` unit rows.
    colours : torch.Tensor
        ``(n, 3)`` relative colours.
    said : torch.Tensor
        ``(n, 3)``, see `said_of`.
    """
    chance = np.random.default_rng(0)

    def draw(rows: int, scale: float) -> Tensor:
        return torch.from_numpy((chance.standard_normal((rows, RANK)) / scale).astype(np.float32))

    shift = torch.from_numpy(chance.uniform(0, 2 * np.pi, RANK).astype(np.float32))
    phase = said @ draw(said.shape[1], SAID) + colours @ draw(colours.shape[1], COLOUR)
    phase += looks @ draw(looks.shape[1], ALIKE)
    return torch.cos(phase + shift) * float(np.sqrt(2 / RANK))


def said_of(said: Tensor, place: int) -> Tensor:
    """Reduce probabilities ``(n, K + 1)`` to ``(n, 3)``: of the class, background, best other."""
    others = said.clone()
    others[:, [0, place]] = 0
    return torch.stack([said[:, place], said[:, 0], others.amax(1)], dim=1)


def place_of(record: ImageRecord, name: str) -> int:
    """Return the place of a class in a record's list, 0 if it was not asked."""
    keys = [name_key(other) for other in record.classes]
    return keys.index(name_key(name)) + 1 if name_key(name) in keys else 0
