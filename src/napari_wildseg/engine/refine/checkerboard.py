"""Pixels as the two colours of a checkerboard, on which neighbours are never of one colour.

A system that ties each pixel to its four neighbours alone can be solved for the white pixels only:
the black ones follow from them. Conjugate gradients then take half the steps on half the pixels
and come to the same (Reid, *The use of conjugate gradients for systems of linear equations
possessing "Property A"*, SIAM Journal on Numerical Analysis 9, 1972).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Checkerboard:
    """The off-diagonal part of a symmetric system of pixels and their four neighbours.

    Rows are given an odd length, so that the colours are the even and the odd places of the image
    read as one line: to each link from pixel to neighbour belong two shifted pieces of memory.

    `down`, `right`: ``(H - 1, W)`` and ``(H, W - 1)`` float32, what ties neighbours.
    """

    def __init__(self, down: Tensor, right: Tensor) -> None:
        self.shape = (right.shape[0], down.shape[1])
        height, width = self.shape
        odd = width | 1
        self._padding = (0, odd - width)
        self._length = height * odd + (height * odd) % 2
        half = odd // 2
        across = self._line(F.pad(right, (0, 1)))
        below = self._line(F.pad(down, (0, 0, 0, 1)))
        # White k is place 2k, black k place 2k + 1: (first white, first black, weights).
        count = self._length // 2
        links = [(0, 0, across[::2]), (1, 0, across[1::2])]
        links += [(0, half, below[::2]), (half + 1, 0, below[1::2])]
        self._links = [
            (white, black, weights[: count - max(white, black)].contiguous())
            for white, black, weights in links
            if max(white, black) < count
        ]

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return white and black pixels of ``(K, H, W)``, each ``(K, n)``."""
        line = self._line(maps)
        return line[..., ::2].contiguous(), line[..., 1::2].contiguous()

    def join(self, white: Tensor, black: Tensor) -> Tensor:
        """Undo `split`: ``(K, H, W)``."""
        height, width = self.shape
        line = torch.stack([white, black], dim=2).flatten(1)
        return line[:, : height * (width | 1)].view(len(white), height, -1)[:, :, :width]

    def add_to_black(self, black: Tensor, white: Tensor, factor: int = 1) -> Tensor:
        """Add to black pixels what their white neighbours hand them, in place."""
        for first, other, weights in self._links:
            count = len(weights)
            black[:, other : other + count].addcmul_(
                weights, white[:, first : first + count], value=factor
            )
        return black

    def add_to_white(self, white: Tensor, black: Tensor, factor: int = 1) -> Tensor:
        """Add to white pixels what their black neighbours hand them, in place."""
        for first, other, weights in self._links:
            count = len(weights)
            white[:, first : first + count].addcmul_(
                weights, black[:, other : other + count], value=factor
            )
        return white

    def _line(self, maps: Tensor) -> Tensor:
        """Pixels in one row of even length, noughts at the ends of rows: ``(..., N)``."""
        line = F.pad(maps, self._padding).flatten(-2)
        return F.pad(line, (0, self._length - line.shape[-1]))
