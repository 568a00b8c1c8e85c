"""Pieces that look alike and lie near each other agree on a label.

A dense conditional random field over an image's superpixels, solved by mean field (Krähenbühl &
Koltun, *Efficient inference in fully connected CRFs with Gaussian edge potentials*, NIPS 2011).
There are few enough superpixels for the sums over all pairs to be exact. So water that an arm
encloses becomes background with the rest of the water, and an arm that the maps missed follows
the body.

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

_LEAST = 1e-3
"""No label is less likely to a piece before it hears the others."""

_FAINTEST = 0.05
"""A class that is heard less than this even where it is heard best is not made up for entirely."""


@dataclass(frozen=True)
class Agreement:
    """Settings, chosen by measurement (docs/method.md)."""

    weight: float = 2.5  # how much the opinion of all others weighs, in units of log-probability
    alike: float = 0.8  # length scale over unit feature vectors
    colour: float = 5.0  # length scale in CIE Lab
    near: float = 0.1  # length scale over the image, in units of its longer side
    rounds: int = 5  # mean-field updates


class DenseCRF:
    """Lets the pieces of one image agree.

    `features`: ``(n, C)`` float32 unit rows (`Superpixels.features`).
    """

    def __init__(
        self, pieces: Superpixels, features: Tensor, options: Agreement | None = None
    ) -> None:
        self.options = options = options or Agreement()
        points = pieces.points(
            features, alike=options.alike, colour=options.colour, near=options.near
        )
        self._kernel = PackedMatrix(gaussian_among(points).fill_diagonal_(0))
        # To scale the kernel's rows and columns, vectors are scaled: n times less work.
        self._sizes = torch.from_numpy(pieces.sizes)
        self._total = self._kernel(self._sizes[None]).clamp_(min=1e-6)

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Return what the pieces hold after hearing each other.

        `probabilities`: ``(n, K + 1)`` float32, what each holds alone; rows need not sum to 1, and
        values may be below 0; returns ``(n, K + 1)`` float32, rows sum to 1.
        """
        alone = probabilities.clamp(min=_LEAST)
        # Labels by pieces: products with few rows are several times as fast as with few columns.
        found = (alone / alone.sum(1, keepdim=True)).T.contiguous()
        unary = found.log()
        leads = (torch.bincount(found.argmax(0), minlength=len(found)) > 0)[1:, None]
        for _ in range(self.options.rounds):
            heard = self._kernel(found * self._sizes).div_(self._total)
            if len(heard) > 2:
                loudest = heard[1:].amax(1, keepdim=True)
                louder = loudest.amax() / loudest.clamp(min=_FAINTEST)
                heard[1:] *= torch.where(leads, louder, 1.0)
                heard /= heard.sum(0).clamp_(min=1e-6)
            found = torch.softmax(heard.mul_(self.options.weight).add_(unary), dim=0)
        return found.T
