"""From relevance maps to pseudo-labels: classes, background, and 255 for "not sure"."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.maps.presence import Presence

MARGIN = 0.15
"""How far from the threshold a pixel's best relevance must be to be sure."""

COMPETITION = 0.5
"""Share of the strongest other class that is taken off a class's relevance."""

SHARPNESS = 0.5
"""Softmax weight of one standard deviation of the merged maps, where the classes compete."""

GAMMA = 0.7
"""Exponent that opens the maps up: relevance falls off steeply from its peaks, and the middle of
the threshold's range should be where an object's border is."""

RIVAL = 0.8
"""A pixel is unsure where the second best class reaches this share of the best."""


def normalise(maps: Tensor, *, places: int = 1, presence: Presence | None = None) -> Tensor:
    """Scale merged relevance maps to [0, 1], class by class, and let the classes compete.

    Negative evidence is cut and each class is divided by its own peak, so that a class with
    faint evidence everywhere is not swallowed by one with strong evidence. Then the classes
    compete twice. Each loses half of what the strongest other class has at the place: what a
    small thing shares with the large thing beside it (a spoon with its cup) no longer hides where
    it differs. And each is weighed by its share in a softmax of the maps as they came, where the
    classes' strengths are comparable.

    Parameters
    ----------
    maps : torch.Tensor
        ``(K, h, w)`` float32.
    places : int
        A peak is the mean of so many best places. More than one for maps with many places, on
        which one odd place must not set the scale.
    presence : Presence, optional
        Whether the classes are in the image at all. One that looks doubtful has less say where
        they compete; the map of one that is left out stays low everywhere.

    Returns
    -------
    torch.Tensor
        ``(K, h, w)`` float32 in [0, 1]; all 0 for a class without positive evidence.
    """
    presence = presence or Presence.unknown(len(maps))
    peak, say = presence.peak[:, None, None], presence.say[:, None, None]
    scaled = _to_peak(maps, places)
    if len(scaled) == 1:
        return scaled * peak
    scaled = scaled * say
    top = scaled.topk(2, dim=0)
    is_best = torch.arange(len(scaled))[:, None, None] == top.indices[0]
    rival = torch.where(is_best, top.values[1], top.values[0])
    strength = maps * (SHARPNESS / maps.std().clamp(min=1e-6)) + say.log()
    shares = torch.softmax(strength, dim=0)
    return _to_peak(_to_peak(scaled - COMPETITION * rival, places) * shares, places) * peak


def _to_peak(maps: Tensor, places: int) -> Tensor:
    positive = maps.clamp(min=0)
    best = positive.flatten(1).topk(min(places, positive[0].numel()), dim=1).values
    peak = best.mean(1)[:, None, None].clamp(min=1e-6)
    return (positive / peak).clamp(max=1)


def decide(relevance: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Label every pixel: the most relevant class, or background below the threshold.

    Parameters
    ----------
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1].
    threshold : float
        In [0, 1]; a higher one gives more background.

    Returns
    -------
    ndarray
        ``(H, W)`` uint8: 0 background, else 1 + the index of the class.
    """
    best = relevance.argmax(0)
    found = relevance.max(0)
    return np.where((found >= threshold) & (found > 0), best + 1, 0).astype(np.uint8)


class Evidence:
    """The best and second best class of every pixel, kept so that the threshold can be live.

    Parameters
    ----------
    relevance : ndarray
        ``(K, H, W)`` float32 in [0, 1].
    """

    def __init__(self, relevance: NDArray[np.float32]) -> None:
        # Class by class: three times as fast as a search for the two largest.
        maps = torch.from_numpy(relevance)
        best, second = maps[0].clone(), torch.zeros_like(maps[0])
        label = torch.ones_like(best, dtype=torch.uint8)
        for place, values in enumerate(maps[1:], 2):
            label.masked_fill_(values > best, place)
            torch.maximum(second, torch.minimum(best, values), out=second)
            torch.maximum(best, values, out=best)
        self._best = best.numpy()
        self._label = label.numpy()
        self._rivalled = (second >= RIVAL * best).numpy()

    def pseudo_labels(self, threshold: float) -> NDArray[np.uint8]:
        """Label the sure pixels.

        Parameters
        ----------
        threshold : float
            In [0, 1]. Raising it never turns background into a class, nor "not sure" into a class.

        Returns
        -------
        ndarray
            ``(H, W)`` uint8: 0 background, 1 + index of the class, 255 not sure.
        """
        labels = np.full(self._best.shape, UNLABELLED, np.uint8)
        labels[self._best < threshold - MARGIN] = 0
        sure = (self._best >= min(threshold + MARGIN, 0.95)) & ~self._rivalled
        np.copyto(labels, self._label, where=sure)
        return labels
