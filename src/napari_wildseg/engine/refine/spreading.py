"""Step 1 of the default refiner: relevance, seeds and corrections spread over similar places.

A place hands its value to the places that the network's features and the colours find alike, again
and again, as on a graph whose edges are the softmax of `affinity.affinity_logits`. After some dozen
rounds whole objects carry what single spots carried before. A corrected place keeps its value
through all rounds and counts as many places: its neighbours in looks listen to it first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_wildseg.engine.refine.affinity import spread
from napari_wildseg.engine.refine.observe import Observations

CONTRAST = 0.8
"""Least difference between a spread map's ends, as a share of its upper end."""

_HIGH, _LOW = 0.85, 0.3
"""What a corrected place holds for its own class and for all others, within the image's range."""


@dataclass
class Spreading:
    """Spreads maps over one image.

    Attributes
    ----------
    similarity : torch.Tensor
        ``(N, N)`` logits of the affinity.
    rounds : int
        How often values are handed on.
    correction_rounds : int
        How often they are handed on again once places are corrected.
    weight : float
        How many places a corrected one counts as.
    """

    similarity: Tensor
    rounds: int = 48
    correction_rounds: int = 16
    weight: float = 30.0
    _affinity: Tensor | None = field(default=None, repr=False)

    def __call__(self, start: Tensor) -> Tensor:
        """Spread maps without corrections, each until it would lose its contrast.

        A map of something large keeps its contrast for all rounds; one of something small would
        end as an even haze over everything.

        Parameters
        ----------
        start : torch.Tensor
            ``(C, h, w)`` float32, ``h * w = N``.

        Returns
        -------
        torch.Tensor
            ``(C, h, w)`` float32.
        """
        if self._affinity is None:
            self._affinity = torch.softmax(self.similarity, dim=1)
        values = settled = start
        rounds = 0
        for stop in [2**k for k in range(1, 16) if 2**k < self.rounds] + [self.rounds]:
            values = spread(self._affinity, values, stop - rounds)
            rounds = stop
            low, high = values.amin((1, 2)), values.amax((1, 2))
            keeps = (high - low >= CONTRAST * high) | (stop <= 2)
            settled = torch.where(keeps[:, None, None], values, settled)
        return settled

    def correct(self, settled: Tensor, seen: Observations, channels: slice) -> Tensor:
        """Spread corrections over maps that have settled.

        Parameters
        ----------
        settled : torch.Tensor
            ``(C, h, w)`` from `__call__`.
        seen : Observations
            Corrections on the same grid.
        channels : slice
            Which of the K + 1 labels the C maps are.

        Returns
        -------
        torch.Tensor
            ``(C, h, w)`` float32.
        """
        mask = seen.mask.flatten()
        heavy = self.similarity + torch.where(mask, math.log(self.weight), 0.0)
        affinity = torch.softmax(heavy, dim=1)
        values = settled.flatten(1).T
        low, high = values.amin(0), values.amax(0)
        target = seen.targets.flatten(1)[channels].T
        held = low + (high - low) * (_LOW + (_HIGH - _LOW) * target)
        values = torch.where(mask[:, None], held, values)
        for _ in range(self.correction_rounds):
            values = torch.where(mask[:, None], held, affinity @ values)
        return values.T.reshape(settled.shape)
