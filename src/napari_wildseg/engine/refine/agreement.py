"""Step 3: superpixels that look alike and lie near each other get one label.

A dense conditional random field over an image's superpixels, solved by mean field (Krähenbühl &
Koltun, *Efficient inference in fully connected CRFs with Gaussian edge potentials*, NIPS 2011).
There are few enough superpixels for the sums over all pairs to be exact. So water that an arm
encloses becomes background with the rest of the water, and an arm that the maps missed follows
the body.

The messages between superpixels are sums over two Gaussian kernels: one compares colours over a
short distance, the other features over a longer one. A superpixel's messages are weighted by the
margin between its two best labels.

The messages of each class that leads anywhere are scaled so that all classes have the same
maximum over the image. Otherwise a small class, such as the legs of a tripod, is outvoted by the
grass around it.
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
"""Lower limit of a label's probability before the first update."""

_CHANGED = 0.05
"""Difference in probability from which on corrections have changed a superpixel."""

_LEAST_MAXIMUM = 0.05
"""Lower limit of the maximum by which the messages of a class are scaled."""


@dataclass(frozen=True)
class LengthScales:
    """Differences between two superpixels that a Gaussian kernel weighs ``exp(-1/2)``."""

    alike: float  # between unit feature vectors
    colour: float  # in CIE Lab
    near: float  # over the image, in units of its longer side


@dataclass(frozen=True)
class Agreement:
    """Settings, chosen by measurement (docs/method.md)."""

    weight: float = 2.5  # of the mean message, in units of log-probability
    kernels: tuple[LengthScales, ...] = (LengthScales(0.8, 5.0, 0.1), LengthScales(0.3, 8.0, 0.15))
    certain: float = 2.0  # exponent of the margin between a superpixel's two best labels
    rounds: int = 10  # mean-field updates
    near_rounds: int = 5  # of `DenseCRF.near`


class DenseCRF:
    """A dense CRF over the superpixels of one image.

    `features`: ``(n, C)`` float32 unit rows (`Superpixels.features`).
    """

    def __init__(
        self, superpixels: Superpixels, features: Tensor, options: Agreement | None = None
    ) -> None:
        self.options = options = options or Agreement()
        self._kernels = [
            PackedMatrix(
                gaussian_among(
                    superpixels.points(features, alike=k.alike, colour=k.colour, near=k.near)
                ).fill_diagonal_(0)
            )
            for k in options.kernels
        ]
        self._sizes = torch.from_numpy(superpixels.sizes)

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Infer the labels with all kernels.

        `probabilities`: ``(n, K + 1)`` float32, of each superpixel alone; rows need not sum to 1,
        and values may be below 0; returns ``(n, K + 1)`` float32, rows sum to 1.
        """
        options = self.options
        return self._agree(probabilities[None], self._kernels, options.certain, options.rounds)[0]

    def first(self, probabilities: Tensor, *, recalled: bool) -> Tensor:
        """Infer the labels without corrections; shapes as above.

        `recalled`: whether a class memory predicted the probabilities. They are then finer than
        the maps, and the second kernel would blur them.
        """
        return self.near(probabilities[None])[0] if recalled else self(probabilities)

    def near(self, probabilities: Tensor) -> Tensor:
        """Infer the labels with the first kernel alone and without weights by margin.

        It serves for what corrections change: corrected superpixels have the largest margins of
        all, and would decide for the whole image. `probabilities`: ``(B, n, K + 1)`` float32,
        several at once, in little more time; returns the same shape, rows sum to 1.
        """
        return self._agree(probabilities, self._kernels[:1], 0, self.options.near_rounds)

    def change(self, before: Tensor, after: Tensor, agreed: Tensor) -> Tensor:
        """Keep an agreement where corrections change nothing; elsewhere use the first kernel.

        `before`, `after`: ``(n, K + 1)`` float32 probabilities without and with corrections;
        `agreed`: the same shape, what `first` returned for the former; returns the same shape,
        rows sum to 1.
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
        # ``(B, K + 1, n)``: products with few rows are several times as fast as with few columns.
        found = (alone / alone.sum(2, keepdim=True)).transpose(1, 2).contiguous()
        unary = found.log()
        leading = torch.nn.functional.one_hot(found.argmax(1), found.shape[1])
        leads = leading.amax(1)[:, 1:, None] > 0
        for _ in range(rounds):
            weights = self._sizes
            if certain:
                weights = weights * margin_of(found.transpose(0, 1))[:, None] ** certain
            sent = (found * weights).flatten(0, 1)
            messages = torch.zeros_like(found)
            for kernel in kernels:
                received = kernel(sent).reshape(found.shape)
                messages += received / received.sum(1, keepdim=True).clamp_(min=1e-6)
            if messages.shape[1] > 2:
                most = messages[:, 1:].amax(2, keepdim=True)
                scale = most.amax(1, keepdim=True) / most.clamp(min=_LEAST_MAXIMUM)
                messages[:, 1:] *= torch.where(leads, scale, 1.0)
                messages *= len(kernels) / messages.sum(1, keepdim=True).clamp_(min=1e-6)
            found = torch.softmax(messages.mul_(self.options.weight).add_(unary), dim=1)
        return found.transpose(1, 2)
