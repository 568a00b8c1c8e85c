"""Step 1 of the default refiner: relevance and seeds spread over similar places.

A place hands its value to the places that the network's features and the colours find alike, again
and again, as on a graph whose edges are the softmax of `affinity.affinity_logits`. After some dozen
rounds whole objects carry what single spots carried before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_wildseg.engine.models.packed import PackedMatrix
from napari_wildseg.engine.refine.affinity import spread

_MAPS = 8
"""What the products are laid out for; any number of maps is right, and gives the same sums."""

CONTRAST = 0.8
"""Least difference between a spread map's ends, as a share of its upper end."""


@dataclass
class Spreading:
    """Spreads maps over one image.

    Attributes
    ----------
    similarity : torch.Tensor
        ``(N, N)`` logits of the affinity.
    rounds : int
        How often values are handed on.
    """

    similarity: Tensor
    rounds: int = 48
    _affinity: PackedMatrix | None = field(default=None, repr=False)

    def __call__(self, start: Tensor) -> Tensor:
        """Spread maps, each until it would lose its contrast.

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
            self._affinity = PackedMatrix(torch.softmax(self.similarity, dim=1), _MAPS)
        values = settled = start
        rounds = 0
        for stop in [2**k for k in range(1, 16) if 2**k < self.rounds] + [self.rounds]:
            values = spread(self._affinity, values, stop - rounds)
            rounds = stop
            low, high = values.amin((1, 2)), values.amax((1, 2))
            keeps = (high - low >= CONTRAST * high) | (stop <= 2)
            settled = torch.where(keeps[:, None, None], values, settled)
        return settled
