"""Superpixels of one image: small regions, true to its edges, that labels are inferred for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from skimage.segmentation import slic
from torch import Tensor

from napari_wildseg.engine.refine.affinity import unit_rows

_COMPACTNESS = 20.0
"""Lab difference that weighs as much as a superpixel's own width (SLIC's m)."""


@dataclass(frozen=True, eq=False)
class Superpixels:
    """Superpixels of an image and how they look."""

    index: NDArray[np.int64]  # ``(h, w)`` int64: the superpixel of every pixel, 0..n-1
    sizes: NDArray[np.float32]  # ``(n,)`` float32, in pixels
    colours: Tensor  # ``(n, 3)`` float32 mean CIE Lab
    places: Tensor  # ``(n, 2)`` float32 centres, in units of the image's longer side

    @classmethod
    def of(cls, lab: Tensor, count: int) -> Superpixels:
        """Cut an image (Achanta et al., *SLIC superpixels*, TPAMI 2012).

        `lab`: ``(3, h, w)`` float32 CIE Lab.
        """
        height, width = lab.shape[1:]
        if height * width <= count:
            index = np.arange(height * width, dtype=np.int64).reshape(height, width)
        else:
            # scikit-image scales the values to [0, 1] before it weighs them.
            extent = float(lab.max() - lab.min()) or 1.0
            index = slic(
                lab.permute(1, 2, 0).numpy(),
                n_segments=count,
                compactness=_COMPACTNESS / extent,
                max_num_iter=5,
                convert2lab=False,
                channel_axis=-1,
                start_label=0,
            ).astype(np.int64)
        sizes = np.bincount(index.ravel()).astype(np.float32)
        side = max(height, width)
        rows, columns = np.divmod(np.arange(index.size), width)
        layers = [*lab.flatten(1).numpy(), (rows + 0.5) / side, (columns + 0.5) / side]
        means = [np.bincount(index.ravel(), weights=layer) / sizes for layer in layers]
        table = torch.from_numpy(np.stack(means, axis=1).astype(np.float32))
        return cls(index, sizes, table[:, :3], table[:, 3:])

    def __len__(self) -> int:
        return len(self.sizes)

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Describe the superpixels by a network's features.

        Returns ``(n, sum of C)`` float32; the dot product of two rows is their mean cosine.
        """
        if not maps:
            return torch.ones(len(self), 1)
        return unit_rows([self.average(values) for values in maps])

    def points(self, features: Tensor, *, alike: float, colour: float, near: float) -> Tensor:
        """Return points whose distances are dissimilarities, in units of length scales.

        `features`: ``(n, C)`` float32 unit rows (`features`); returns ``(n, C + 5)`` float32.
        """
        # Squared distances add up, so that one product of points serves all three.
        colours = self.colours - self.colours.mean(0)
        return torch.cat([features / alike, colours / colour, self.places / near], dim=1)

    def average(self, maps: Tensor) -> Tensor:
        """Average maps over each superpixel.

        `maps`: ``(C, gh, gw)`` float32 on any grid that tiles the image; read bilinearly; returns
        ``(n, C)`` float32.
        """
        grid = (maps.shape[1], maps.shape[2])
        if grid not in self._pools:
            self._pools[grid] = self._pooling(grid)
        pool = self._pools[grid]
        return torch.from_numpy(pool @ np.ascontiguousarray(maps.flatten(1).T.numpy()))

    def _pooling(self, grid: tuple[int, int]) -> sparse.csr_matrix:
        """``(n, gh * gw)``: the share of each cell in each superpixel."""
        # A product of two matrices that need no sorting: superpixels by pixels, pixels by cells.
        height, width = self.index.shape
        rows, share_y = _taps(height, grid[0])
        columns, share_x = _taps(width, grid[1])
        cells = rows[:, None, :, None] * grid[1] + columns[None, :, None, :]
        shares = share_y[:, None, :, None] * share_x[None, :, None, :]
        read = sparse.csr_matrix(
            (shares.ravel(), cells.ravel(), np.arange(0, shares.size + 1, 4)),
            shape=(height * width, grid[0] * grid[1]),
        )
        index = self.index.ravel()
        mean = sparse.csc_matrix(
            (1 / self.sizes[index], index, np.arange(index.size + 1)), shape=(len(self), index.size)
        )
        return mean.tocsr() @ read

    def paint(self, values: Tensor) -> Tensor:
        """Give every pixel its superpixel's values: ``(n, C)`` -> ``(C, h, w)``."""
        return values.T[:, self._flat].reshape(-1, *self.index.shape)

    @cached_property
    def _pools(self) -> dict[tuple[int, int], sparse.csr_matrix]:
        """`_pooling` by grid; maps of one image lie on few."""
        return {}

    @cached_property
    def _flat(self) -> Tensor:
        return torch.from_numpy(self.index.ravel())


def _taps(pixels: int, cells: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Both cells that each pixel centre lies between, and their bilinear weights: ``(n, 2)``."""
    at = (np.arange(pixels) + 0.5) * (cells / pixels) - 0.5
    low = np.floor(at)
    both = np.stack([low, low + 1], axis=1).clip(0, cells - 1).astype(np.int32)
    return both, np.stack([1 - (at - low), at - low], axis=1).astype(np.float32)
