"""Settings of the default refiner."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_wildseg.engine.refine.agreement import Agreement
from napari_wildseg.engine.refine.learning.learn import Learning
from napari_wildseg.engine.refine.seeds import Seeding


@dataclass(frozen=True)
class DefaultOptions:
    """Settings of the default refiner, chosen by measurement (docs/method.md)."""

    temperature: float = 0.1  # cosine of network features that weighs a factor e in step 1
    colour: float = 15.0  # CIE Lab difference that weighs a factor e in step 1
    rounds: int = 48  # how often values are handed on in step 1
    sharpness: float = 10.0  # turns the scores of step 1 into probabilities
    bias: float = 0.05  # added to the threshold: spread maps lie higher than relevance maps
    work_pixels: int = 90_000  # resolution of step 4
    beta: float = 3.0  # contrast of the edges in step 4
    trust: float = 0.004  # weight of the prior in step 4
    # How much that weight grows where a class memory decided pixel by pixel.
    fine_trust: float = 50.0
    superpixels: int = 2500  # number of superpixels in steps 2 and 3
    learning: Learning = field(default_factory=Learning)  # settings of step 2
    agreement: Agreement = field(default_factory=Agreement)  # settings of step 3
    # Settings of step 1 where there are seeds alone.
    seeding: Seeding = field(default_factory=Seeding)

    def probabilities(self, scores: Tensor, threshold: float) -> Tensor:
        """Turn the scores of step 1, ``(K, h, w)``, into ``(K + 1, h, w)``, background first."""
        background = torch.full_like(scores[:1], threshold + self.bias)
        return torch.softmax(torch.cat([background, scores]) * self.sharpness, dim=0)

    def scores_of(self, probabilities: Tensor, threshold: float) -> Tensor:
        """Return the scores that `probabilities` turns into given ones, ``(K, h, w)`` in [0, 1].

        `probabilities`: ``(K + 1, h, w)`` float32, background first, none of them 0.
        """
        odds = (probabilities[1:] / probabilities[:1]).log() / self.sharpness
        scores = odds + threshold + self.bias
        # Where one is too high, all are lowered: which class is ahead of which stays.
        return (scores - (scores.amax(0) - 1).clamp(min=0)).clamp(0, 1)
