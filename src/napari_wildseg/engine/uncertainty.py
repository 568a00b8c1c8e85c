"""How much a result is to be doubted, told from the result alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.pseudo_labels import decide
from napari_wildseg.engine.result import Result


@dataclass(frozen=True)
class Uncertainty:
    """Reasons to look at an image, each in [0, 1], 0 for none.

    Attributes
    ----------
    score : float
        All of them in one number, to rank by.
    margin : float
        How near the second best class is to the best, averaged over the labelled pixels.
    disagreement : float
        How far the stages of the method are from agreeing on the masks: 1 - mean IoU.
    unsure : float
        Share of pixels on which the relevance maps would not decide.
    """

    score: float
    margin: float
    disagreement: float
    unsure: float

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


CERTAIN = Uncertainty(0.0, 0.0, 0.0, 0.0)
"""Nothing to doubt."""


def uncertainty(result: Result) -> Uncertainty:
    """Judge a result.

    Parameters
    ----------
    result : Result
        What `Segmenter.segment` returned.
    """
    relevance = result.relevance
    top = np.partition(relevance, -2, axis=0)[-2:] if len(relevance) > 1 else None
    found = result.labels > 0
    margin = 0.0
    if top is not None and found.any():
        margin = float((top[0][found] / np.maximum(top[1][found], 1e-6)).mean())
    places = decide(relevance, float(result.settings["threshold"]))
    table = np.array([0, *(info.id for info in result.classes)], np.uint8)
    agreement = mean_iou(table[places], result.labels, [info.id for info in result.classes])
    unsure = float((result.pseudo_labels == UNLABELLED).mean())
    score = (margin + (1 - agreement) + unsure) / 3
    return Uncertainty(score, margin, 1 - agreement, unsure)


def mean_iou(one: NDArray[np.uint8], other: NDArray[np.uint8], ids: list[int]) -> float:
    """Return the mean over classes of the overlap of two label images.

    Parameters
    ----------
    one, other : ndarray
        ``(H, W)`` uint8.
    ids : list of int
        The classes; one that neither has counts as agreed upon.
    """
    size = 256
    both = np.bincount(one[one == other].ravel(), minlength=size)[ids]
    union = np.bincount(one.ravel(), minlength=size)[ids]
    union = union + np.bincount(other.ravel(), minlength=size)[ids] - both
    return float(np.where(union > 0, both / np.maximum(union, 1), 1.0).mean())
