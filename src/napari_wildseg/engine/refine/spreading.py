"""Step 1 of the default refiner: relevance and seeds spread over similar places.

A place hands its value to the places that the network's features and the colours find alike, again
and again, as on a graph whose edges are the softmax of `affinity.affinity_logits`. After some dozen
rounds whole objects carry what single spots carried before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.models.packed import PackedMatrix
from napari_wildseg.engine.refine.affinity import affinity_logits, node_features, spread
from napari_wildseg.engine.refine.options import DefaultOptions

CONTRAST = 0.8
"""Least difference between a spread map's ends, as a share of its upper end."""


class Spreading:
    """Spreads maps over one image. `similarity`: ``(N, N)`` logits of the affinity."""

    def __init__(self, similarity: Tensor, rounds: int) -> None:
        self.rounds = rounds
        self._affinity = PackedMatrix(torch.softmax(similarity, dim=1))

    @classmethod
    def over(
        cls, lab: Tensor, features: Sequence[Tensor], grid: tuple[int, int], options: DefaultOptions
    ) -> Spreading:
        """Tie the places of a grid to those that look alike.

        `lab`: ``(3, h, w)`` float32 CIE Lab divided by 100; `grid`: ``(gh, gw)``, of the maps to be
        spread.
        """
        nodes = node_features(features[-1:] or [lab], grid)
        colours = resize(lab, grid).flatten(1).T * (100 / options.colour)
        return cls(affinity_logits(nodes, options.temperature, colours), options.rounds)

    def __call__(self, start: Tensor) -> Tensor:
        """Spread maps, each until it would lose its contrast.

        A map of something large keeps its contrast for all rounds; one of something small would end
        as an even haze over everything.

        `start`: ``(C, h, w)`` float32, ``h * w = N``; returns ``(C, h, w)`` float32.
        """
        values = settled = start
        rounds = 0
        for stop in [2**k for k in range(1, 16) if 2**k < self.rounds] + [self.rounds]:
            values = spread(self._affinity, values, stop - rounds)
            rounds = stop
            low, high = values.amin((1, 2)), values.amax((1, 2))
            keeps = (high - low >= CONTRAST * high) | (stop <= 2)
            settled = torch.where(keeps[:, None, None], values, settled)
        return settled
