"""How much a result is to be doubted, told from the image alone, without a mask to compare with.

Chosen by the rank correlation with the IoU of images whose masks are known (docs/batch.md): what
tells most is whether the class that is least agreed upon lights up the same places however the
image is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.images.grid import grid_of
from napari_wildseg.engine.maps.pseudo_labels import normalise

LOOK_SIDE = 48
"""Geometric mean of the sides of the grid on which looks are compared, in cells."""

WEIGHTS = {"disagreement": 0.8, "margin": 0.1, "unsure": 0.1}
"""What each reason counts in the score."""


@dataclass(frozen=True)
class Uncertainty:
    """Reasons to look at an image, each in [0, 1], 0 for none."""

    # All of them in one number, weighed by `WEIGHTS`, to rank by. It orders images; it is no
    # probability.
    score: float
    # How near the best class is to the second best, or to nothing, averaged over the labelled
    # pixels: 1 - difference of their relevance.
    margin: float
    # How little the looks at the image (its augmented views) have in common, for the class on which
    # they agree least: 1 - correlation of its maps. 0 where there is one look only.
    disagreement: float
    unsure: float  # share of pixels on which the relevance maps would not decide

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


CERTAIN = Uncertainty(0.0, 0.0, 0.0, 0.0)
"""Nothing to doubt."""


def judge(
    labels: NDArray[np.uint8],
    pseudo_labels: NDArray[np.uint8],
    relevance: NDArray[np.float32],
    looks: Sequence[Tensor],
) -> Uncertainty:
    """Judge a result.

    `labels`, `pseudo_labels`: ``(H, W)`` uint8; `relevance`: ``(K, H, W)`` float32 in [0, 1].
    """
    reasons = {
        "margin": _margin(labels, relevance),
        "disagreement": _disagreement(looks),
        "unsure": float((pseudo_labels == UNLABELLED).mean()),
    }
    score = sum(WEIGHTS[name] * value for name, value in reasons.items())
    return Uncertainty(score, **reasons)


def look_grid(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the cells on which looks at an image are compared.

    `shape`: ``(H, W)`` of the image.
    """
    return grid_of(shape, LOOK_SIDE)


def _margin(labels: NDArray[np.uint8], relevance: NDArray[np.float32]) -> float:
    found = labels > 0
    if not found.any():
        return 1.0  # nothing was found of what is said to be there
    inside = torch.from_numpy(relevance[:, found])
    top = inside.topk(min(2, len(inside)), dim=0).values
    best, second = top[0], top[1] if len(top) == 2 else torch.zeros_like(top[0])
    return float(1 - (best - second).mean())


def _disagreement(looks: Sequence[Tensor]) -> float:
    if len(looks) < 2:
        return 0.0
    maps = torch.stack([normalise(look) for look in looks]).flatten(2)  # (looks, K, cells)
    maps = maps - maps.mean(2, keepdim=True)
    maps = maps / maps.norm(dim=2, keepdim=True).clamp(min=1e-6)
    pairs = torch.einsum("akc,bkc->kab", maps, maps)
    count = len(looks)
    own = pairs.diagonal(dim1=1, dim2=2).sum(1)
    agreement = (pairs.sum((1, 2)) - own) / (count * (count - 1))
    return float((1 - agreement.min()).clamp(0, 1))
