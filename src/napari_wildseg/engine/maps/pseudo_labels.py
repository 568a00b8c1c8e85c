"""Pseudo-labels from relevance maps: class, background, or 255 for undecided."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.maps.presence import Presence

_MARGIN = 0.15
"""Half width of the undecided range around the threshold."""

_COMPETITION = 0.5
"""Fraction of the strongest other class that is subtracted from a class's relevance."""

_SHARPNESS = 0.5
"""Softmax weight of one standard deviation of the merged maps, in the competition of classes."""

GAMMA = 0.7
"""Exponent that raises medium values: relevance falls steeply from its peaks, and object borders
should lie near the middle of the threshold's range."""

_RIVAL_FRACTION = 0.8
"""A pixel is undecided if the second best class reaches this fraction of the best."""


def normalise(maps: Tensor, *, places: int = 1, presence: Presence | None = None) -> Tensor:
    """Scale merged relevance maps to [0, 1] per class, and let the classes compete.

    Negative values are clipped and each class is divided by its own peak, so that a class with
    weak evidence is not suppressed by one with strong evidence. The classes then compete in two
    ways. First, each loses half of the strongest other class's value at the same position, so
    that overlapping evidence of a small object and a large one beside it (spoon and cup) cancels.
    Second, each is multiplied by its share in a softmax of the unscaled maps, in which the
    classes' strengths are comparable.

    Parameters
    ----------
    maps : torch.Tensor
        ``(K, h, w)`` float32.
    places : int
        A peak is the mean of this number of largest values. More than one for large maps, on
        which a single outlier must not set the scale.
    presence : Presence, optional
        Whether the classes are in the image. A doubtful class has less weight in the competition;
        the map of a class that is left out stays low everywhere.

    Returns
    -------
    torch.Tensor
        ``(K, h, w)`` float32 in [0, 1]; all 0 for a class without positive evidence.
    """
    presence = presence or Presence.unknown(len(maps))
    peak, say = presence.peak[:, None, None], presence.weight[:, None, None]
    scaled = _to_peak(maps, places)
    if len(scaled) == 1:
        return scaled * peak
    scaled = scaled * say
    top = scaled.topk(2, dim=0)
    is_best = torch.arange(len(scaled))[:, None, None] == top.indices[0]
    rival = torch.where(is_best, top.values[1], top.values[0])
    strength = maps * (_SHARPNESS / maps.std().clamp(min=1e-6)) + say.log()
    shares = torch.softmax(strength, dim=0)
    return _to_peak(_to_peak(scaled - _COMPETITION * rival, places) * shares, places) * peak


def _to_peak(maps: Tensor, places: int) -> Tensor:
    positive = maps.clamp(min=0)
    best = positive.flatten(1).topk(min(places, positive[0].numel()), dim=1).values
    peak = best.mean(1)[:, None, None].clamp(min=1e-6)
    return (positive / peak).clamp(max=1)


def decide(relevance: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Label every pixel with its most relevant class, or background below the threshold.

    Parameters
    ----------
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1].
    threshold : float
        In [0, 1]; a higher value gives more background.

    Returns
    -------
    ndarray
        ``(H, W)`` uint8: 0 background, else 1 + the index of the class.
    """
    best = relevance.argmax(0)
    found = relevance.max(0)
    return np.where((found >= threshold) & (found > 0), best + 1, 0).astype(np.uint8)


class Evidence:
    """The best and second best class of every pixel, from which any threshold gives labels.

    Parameters
    ----------
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1].
    """

    def __init__(self, relevance: NDArray[np.float32]) -> None:
        # One class at a time: three times as fast as `topk`.
        maps = torch.from_numpy(relevance)
        best, second = maps[0].clone(), torch.zeros_like(maps[0])
        label = torch.ones_like(best, dtype=torch.uint8)
        for place, values in enumerate(maps[1:], 2):
            label.masked_fill_(values > best, place)
            torch.maximum(second, torch.minimum(best, values), out=second)
            torch.maximum(best, values, out=best)
        self._best = best.numpy()
        self._label = label.numpy()
        self._contested = (second >= _RIVAL_FRACTION * best).numpy()

    def pseudo_labels(self, threshold: float) -> NDArray[np.uint8]:
        """Label the decided pixels.

        Parameters
        ----------
        threshold : float
            In [0, 1]. Raising it never changes background or undecided pixels to a class.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8: 0 background, 1 + index of the class, 255 undecided.
        """
        labels = np.full(self._best.shape, UNLABELLED, np.uint8)
        labels[self._best < threshold - _MARGIN] = 0
        sure = (self._best >= min(threshold + _MARGIN, 0.95)) & ~self._contested
        np.copyto(labels, self._label, where=sure)
        return labels
