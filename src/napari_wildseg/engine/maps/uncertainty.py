"""Uncertainty of a result, estimated from the image alone, without ground truth.

The measures were chosen by their rank correlation with the IoU of annotated images
(docs/batch.md). The most informative one is whether the augmented views agree on the positions of
the most disputed class.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.images.grid import grid_of
from napari_wildseg.engine.maps.pseudo_labels import normalise

_VIEW_GRID_SIDE = 48
"""Geometric mean of the sides of the grid on which views are compared, in cells."""

UNCERTAINTY_WEIGHTS = {"disagreement": 0.8, "margin": 0.1, "unsure": 0.1}
"""Weights of the measures in the score."""


@dataclass(frozen=True)
class Uncertainty:
    """Measures of uncertainty, each in [0, 1], 0 for none."""

    # Weighted sum of the measures, to rank images by; not a probability.
    score: float
    # 1 - difference between the best and the second best relevance (0 if there is no second),
    # averaged over the labelled pixels.
    margin: float
    # 1 - correlation of the augmented views' maps, for the class on which they agree least; 0 for
    # a single view.
    disagreement: float
    unsure: float  # fraction of undecided pixels in the pseudo-labels

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


CERTAIN = Uncertainty(0.0, 0.0, 0.0, 0.0)
"""No uncertainty."""


def estimate_uncertainty(
    labels: NDArray[np.uint8],
    pseudo_labels: NDArray[np.uint8],
    relevance: NDArray[np.float32],
    by_view: Sequence[Tensor],
) -> Uncertainty:
    """Compute the uncertainty of a result.

    `labels`, `pseudo_labels`: ``(H, W)`` uint8; `relevance`: ``(K, H, W)`` float32 in [0, 1];
    `by_view`: ``(K, gh, gw)`` maps per group of views.
    """
    reasons = {
        "margin": _margin(labels, relevance),
        "disagreement": _disagreement(by_view),
        "unsure": float((pseudo_labels == UNLABELLED).mean()),
    }
    score = sum(UNCERTAINTY_WEIGHTS[name] * value for name, value in reasons.items())
    return Uncertainty(score, **reasons)


def view_grid(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the grid on which the maps of the views are compared.

    `shape`: ``(H, W)`` of the image.
    """
    return grid_of(shape, _VIEW_GRID_SIDE)


def _margin(labels: NDArray[np.uint8], relevance: NDArray[np.float32]) -> float:
    found = labels > 0
    if not found.any():
        return 1.0  # no class was found
    inside = torch.from_numpy(relevance[:, found])
    top = inside.topk(min(2, len(inside)), dim=0).values
    best, second = top[0], top[1] if len(top) == 2 else torch.zeros_like(top[0])
    return float(1 - (best - second).mean())


def _disagreement(by_view: Sequence[Tensor]) -> float:
    if len(by_view) < 2:
        return 0.0
    # ``(groups of views, K, cells)``
    maps = torch.stack([normalise(group) for group in by_view]).flatten(2)
    maps = maps - maps.mean(2, keepdim=True)
    maps = maps / maps.norm(dim=2, keepdim=True).clamp(min=1e-6)
    pairs = torch.einsum("akc,bkc->kab", maps, maps)
    count = len(by_view)
    own = pairs.diagonal(dim1=1, dim2=2).sum(1)
    agreement = (pairs.sum((1, 2)) - own) / (count * (count - 1))
    return float((1 - agreement.min()).clamp(0, 1))
