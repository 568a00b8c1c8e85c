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

_CHANGED = 0.05
"""From this difference in probability on, corrections have changed a piece."""

_FAINTEST = 0.05
"""A class that is heard less than this even where it is heard best is not made up for entirely."""


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
    near_rounds: int = 5  # of `DenseCRF.near`


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

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Return what the pieces hold after hearing each other, by all kernels.

        `probabilities`: ``(n, K + 1)`` float32, what each holds alone; rows need not sum to 1, and
        values may be below 0; returns ``(n, K + 1)`` float32, rows sum to 1.
        """
        options = self.options
        return self._agree(probabilities[None], self._kernels, options.certain, options.rounds)[0]

    def first(self, probabilities: Tensor, *, recalled: bool) -> Tensor:
        """Let them agree without corrections; `recalled`: whether a class memory predicted them.

        What a memory predicts is finer than the maps: the second kernel blurs it. Shapes as above.
        """
        return self.near(probabilities[None])[0] if recalled else self(probabilities)

    def near(self, probabilities: Tensor) -> Tensor:
        """Let them agree by the first kernel alone, all heard alike, for what corrections change.

        Corrected pieces are the most certain of all, and would decide for the whole image.
        `probabilities`: ``(B, n, K + 1)`` float32, several at once, in little more time; returns
        the same shape, rows sum to 1.
        """
        return self._agree(probabilities, self._kernels[:1], 0, self.options.near_rounds)

    def change(self, before: Tensor, after: Tensor, agreed: Tensor) -> Tensor:
        """Keep an agreement where corrections change nothing; elsewhere use the first kernel.

        `before`, `after`, `agreed`: ``(n, K + 1)`` float32: what the pieces hold alone without and
        with corrections, and what this returned for the former; returns the same shape, rows sum
        to 1.
        """
        without, changed = self.near(torch.stack([before, after]))
        difference = (changed - without).abs().amax(1, keepdim=True)
        same = (1 - difference / _CHANGED).clamp_(min=0)
        found: Tensor = (changed + same * (agreed - without)).clamp_(min=0)
        return found.div_(found.sum(1, keepdim=True))

    def _agree(
        self, probabilities: Tensor, kernels: list[PackedMatrix], certain: float, rounds: int
    ) -> Tensor:
        """Run mean-field updates with some of the kernels; see `near` for shapes."""
        alone = probabilities.clamp(min=_LEAST)
        # Labels by pieces: products with few rows are several times as fast as with few columns.
        found = (alone / alone.sum(2, keepdim=True)).transpose(1, 2).contiguous()
        unary = found.log()
        leading = torch.nn.functional.one_hot(found.argmax(1), found.shape[1])
        leads = leading.amax(1)[:, 1:, None] > 0
        for _ in range(rounds):
            voice = self._sizes
            if certain:
                voice = voice * margin_of(found.transpose(0, 1))[:, None] ** certain
            spoken = (found * voice).flatten(0, 1)
            heard = torch.zeros_like(found)
            for kernel in kernels:
                opinion = kernel(spoken).reshape(found.shape)
                heard += opinion / opinion.sum(1, keepdim=True).clamp_(min=1e-6)
            if heard.shape[1] > 2:
                loudest = heard[:, 1:].amax(2, keepdim=True)
                louder = loudest.amax(1, keepdim=True) / loudest.clamp(min=_FAINTEST)
                heard[:, 1:] *= torch.where(leads, louder, 1.0)
                heard *= len(kernels) / heard.sum(1, keepdim=True).clamp_(min=1e-6)
            found = torch.softmax(heard.mul_(self.options.weight).add_(unary), dim=1)
        return found.transpose(1, 2)
