"""How far superpixels resemble remembered ones; what resembles none of them is left to the maps.

The distance of a superpixel to the nearest remembered one is compared with the distances that the
remembered images have from each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_wildseg.engine.memory.records import ImageRecord

COMPARED = 2_000
"""Remembered superpixels that are compared with, at most, over all images."""

USUAL = 0.95
"""Share of the superpixels of one remembered image that count as familiar to the others."""


class Resemblance:
    """Tells how familiar superpixels are to a set of remembered images."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        most = max(1, COMPARED // max(1, len(records)))
        banks = [record_points(record)[:: -(-len(record.weights) // most)] for record in records]
        self._bank = torch.cat(banks) if banks else torch.zeros(0, 0)
        # The distance up to which a superpixel is familiar; unknown with fewer than two images.
        self._usual = 0.0
        if len(banks) > 1:
            distances = [
                _nearest(bank, torch.cat([*banks[:place], *banks[place + 1 :]]))
                for place, bank in enumerate(banks)
            ]
            self._usual = float(torch.quantile(torch.cat(distances), USUAL))

    def of(self, points: Tensor) -> Tensor:
        """Return ``(n,)`` float32 from 0 (unlike anything) to 1, of `points_of` superpixels."""
        if not self._usual:
            return torch.ones(len(points))
        return torch.exp(-(_nearest(points, self._bank) / self._usual - 1).clamp(min=0))


def points_of(features: Tensor, colours: Tensor) -> Tensor:
    """Join ``(n, C)`` network features and ``(n, 3)`` relative colours."""
    return torch.cat([features, colours], dim=1)


def record_points(record: ImageRecord) -> Tensor:
    """Return `points_of` the superpixels of a record."""
    return points_of(
        torch.from_numpy(record.features).float(), torch.from_numpy(record.colours).float()
    )


def _nearest(points: Tensor, bank: Tensor) -> Tensor:
    """Return the ``(n,)`` distances to the nearest row of a bank."""
    return torch.cdist(points, bank).amin(1)
