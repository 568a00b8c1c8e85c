"""Pieces that look alike and lie near each other agree on a label.

A dense conditional random field over an image's superpixels, solved by mean field (Krähenbühl &
Koltun, *Efficient inference in fully connected CRFs with Gaussian edge potentials*, NIPS 2011).
There are few enough superpixels for the sums over all pairs to be exact. So water that an arm
encloses becomes background with the rest of the water, and an arm that the maps missed follows
the body.

Two kernels compare the superpixels: one asks for the same colour close by, the other for the same
features farther away. A superpixel is heard the more, the more certain it is of its own label.

Every class that leads somewhere is heard as loudly where it is heard best as the others are: a
tripod's legs would be outvoted by the grass they stand on, being few.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_wildseg.engine.models.packed import PackedMatrix
from napari_wildseg.engine.refine.learning.kernels import gaussian_among
from napari_wildseg.engine.refine.superpixels import Superpixels
from napari_wildseg.engine.refine.walk import margin_of

_LEAST = 1e-3
"""No label is less likely to a piece before it hears the others."""

_FAINTEST = 0.05
"""A class that is heard less than this even where it is heard best is not made up for entirely."""

_SETTLED = 0.01
"""No further round where no probability changed by as much."""


@dataclass(frozen=True)
class LengthScales:
    """Differences between two superpixels that a Gaussian kernel weighs ``exp(-1/2)``."""

    alike: float  # between unit feature vectors
    colour: float  # in CIE Lab
    near: float  # over the image, in units of its longer side


@dataclass(frozen=True)
class Agreement:
    """Settings, chosen by measurement (docs/method.md)."""

    weight: float = 2.5  # how much the opinion of all others weighs, in units of log-probability
    kernels: tuple[LengthScales, ...] = (LengthScales(0.8, 5.0, 0.1), LengthScales(0.3, 8.0, 0.15))
    certain: float = 2.0  # exponent of the margin between a superpixel's two best labels
    rounds: int = 10  # mean-field updates


class DenseCRF:
    """Lets the pieces of one image agree.

    `features`: ``(n, C)`` float32 unit rows (`Superpixels.features`).
    """

    def __init__(
        self, pieces: Superpixels, features: Tensor, options: Agreement | None = None
    ) -> None:
        self.options = options = options or Agreement()
        self._kernels = [
            PackedMatrix(
                gaussian_among(
                    pieces.points(features, alike=k.alike, colour=k.colour, near=k.near)
                ).fill_diagonal_(0)
            )
            for k in options.kernels
        ]
        self._sizes = torch.from_numpy(pieces.sizes)

    def __call__(self, probabilities: Tensor, first: Tensor | None = None) -> Tensor:
        """Return what the pieces hold after hearing each other.

        `probabilities`: ``(n, K + 1)`` float32, what each holds alone; rows need not sum to 1, and
        values may be below 0; `first`: ``(n, K + 1)`` float32, what this returned without
        corrections: pieces are heard as loudly as they are there, as corrected ones would be
        louder than all others; returns ``(n, K + 1)`` float32, rows sum to 1.
        """
        alone = probabilities.clamp(min=_LEAST)
        # Labels by pieces: products with few rows are several times as fast as with few columns.
        found = (alone / alone.sum(1, keepdim=True)).T.contiguous()
        unary = found.log()
        leads, certainty = _count_leads(found) > 0, None
        if first is not None:
            certainty = self._certainty(first.T)
            # What corrections took most of is being erased.
            leads &= _count_leads(found) >= _count_leads(first.T) / 2
        for _ in range(self.options.rounds):
            heard = self._hear(found, self._certainty(found) if certainty is None else certainty)
            if len(heard) > 2:
                loudest = heard[1:].amax(1, keepdim=True)
                louder = loudest.amax() / loudest.clamp(min=_FAINTEST)
                heard[1:] *= torch.where(leads[1:, None], louder, 1.0)
                heard *= len(self._kernels) / heard.sum(0).clamp_(min=1e-6)
            last, found = found, torch.softmax(heard.mul_(self.options.weight).add_(unary), dim=0)
            if (found - last).abs().max() < _SETTLED:
                break
        return found.T

    def _certainty(self, found: Tensor) -> Tensor:
        """``(n,)`` float32: how loudly pieces are heard."""
        return margin_of(found[:, None])[0] ** self.options.certain

    def _hear(self, found: Tensor, certainty: Tensor) -> Tensor:
        """Sum over the kernels of the mean opinion of all others: ``(K + 1, n)``."""
        spoken = found * (self._sizes * certainty)
        heard = torch.zeros_like(found)
        for kernel in self._kernels:
            opinion = kernel(spoken)
            heard += opinion / opinion.sum(0).clamp_(min=1e-6)
        return heard


def _count_leads(found: Tensor) -> Tensor:
    """``(K + 1,)``: how many pieces each label leads on."""
    return torch.bincount(found.argmax(0), minlength=len(found))
