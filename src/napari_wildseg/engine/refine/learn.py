"""What corrections teach about the rest of the image.

The labels of an image's pieces (`superpixels`) are a Gaussian process whose kernel joins pieces
that look alike to the network, have similar colours and lie near each other
(Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, ch. 2). It has seen two
kinds of observations: what the relevance maps say of each piece, believed the less the less
decided it is, and what the annotator said of a few, believed firmly. So a dab wins over all that
looks like it and was in doubt, and over little that was certain; many dabs outweigh the maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.refine.reach import find_dabs, shrink_labels
from napari_wildseg.engine.refine.superpixels import Superpixels


@dataclass(frozen=True)
class Learning:
    """Settings, chosen by measurement (docs/method.md).

    Attributes
    ----------
    alike : float
        Length scale over unit feature vectors.
    colour : float
        Length scale in CIE Lab.
    near : float
        Length scale over the image, in units of its longer side.
    doubt : float
        Standard deviation of what the maps say of a piece they are certain of.
    decided : float
        Exponent of the margin between the two best classes: how fast doubt grows as it shrinks.
    noise : float
        Variance of a correction that covers its piece.
    detail : float
        Share of what the process smooths away in the maps that is put back.
    reach : float
        A dab speaks of its surroundings too, to this share of the distance to the nearest place
        that has its label already (`reach`).
    loudness : float
        How firmly it does at its centre, as the inverse of a variance.
    farthest : float
        Upper limit of that distance, in units of the image's longer side.
    """

    alike: float = 1.0
    colour: float = 25.0
    near: float = 1.0
    doubt: float = 3.0
    decided: float = 4.0
    noise: float = 0.05
    detail: float = 0.3
    reach: float = 0.7
    loudness: float = 1.0
    farthest: float = 0.07


class Learner:
    """Learns from the corrections of one image.

    Parameters
    ----------
    pieces : Superpixels
        Of the image.
    looks : torch.Tensor
        ``(n, C)`` float32 unit rows (`Superpixels.looks`).
    options : Learning, optional
        Settings.
    """

    def __init__(self, pieces: Superpixels, looks: Tensor, options: Learning | None = None) -> None:
        self.pieces = pieces
        self.options = options or Learning()
        self.kernel = self._kernel(looks)
        self._smoothed: tuple[Tensor, Tensor] | None = None

    def change(self, prior: Tensor, corrections: NDArray[np.int16]) -> Tensor:
        """Say by how much corrections change the probabilities of every piece.

        Parameters
        ----------
        prior : torch.Tensor
            ``(n, K + 1)`` float32 probabilities without corrections.
        corrections : ndarray
            ``(H, W)`` int16 over the image, -1 = not corrected, else 0..K.

        Returns
        -------
        torch.Tensor
            ``(n, K + 1)`` float32; prior and change sum to 1 for each piece.
        """
        options = self.options
        shares, covered = self._observed(corrections, prior.shape[1])
        top = prior.topk(2, dim=1).values
        margin = (top[:, 0] - top[:, 1]).clamp(min=0.1)
        # A piece is one voice among as many as there are, however finely the image is cut.
        trust = margin**options.decided / (options.doubt**2 * len(self.pieces) / 1500)
        detail = options.detail * (prior - self._smooth(prior, trust))
        votes = shares * (covered / options.noise)[:, None]
        votes += self._around(prior, corrections) * (covered == 0)[:, None]
        firm = votes.sum(1, keepdim=True)
        total = firm + trust[:, None]
        said = (votes - firm * detail + trust[:, None] * prior) / total
        return self._posterior(said, total[:, 0], prior.mean(0)) + detail - prior

    def _around(self, prior: Tensor, corrections: NDArray[np.int16]) -> Tensor:
        """``(n, K + 1)`` precision with which dabs speak of the pieces around them."""
        index, side = self.pieces.index, max(self.pieces.index.shape)
        labels = prior.argmax(1).numpy()[index]
        small = shrink_labels(corrections, index.shape)
        dabs = find_dabs(small, labels, self.options.farthest * side)
        votes = torch.zeros_like(prior)
        centres = torch.from_numpy((dabs.centres + 0.5) / side).float()
        radii = torch.from_numpy(dabs.radii / side).float() * self.options.reach
        away = torch.cdist(self.pieces.places, centres) / radii.clamp(min=1e-6)
        loud = self.options.loudness * torch.exp(-away.square())
        return votes.index_add_(1, torch.from_numpy(dabs.labels), loud)

    def _kernel(self, looks: Tensor) -> Tensor:
        options, pieces = self.options, self.pieces
        exponent = (2 - 2 * looks @ looks.T).clamp(min=0) / (2 * options.alike**2)
        exponent += torch.cdist(pieces.colours, pieces.colours).square() / (2 * options.colour**2)
        exponent += torch.cdist(pieces.places, pieces.places).square() / (2 * options.near**2)
        return exponent.neg_().exp_()

    def _posterior(self, said: Tensor, precision: Tensor, mean: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(self.kernel + torch.diag(1 / precision))
        return mean + self.kernel @ torch.cholesky_solve(said - mean, factor)

    def _smooth(self, prior: Tensor, trust: Tensor) -> Tensor:
        """Return what the process makes of the prior alone; kept, for it changes with no dab."""
        if self._smoothed is None or not torch.equal(self._smoothed[0], prior):
            self._smoothed = (prior, self._posterior(prior, trust, prior.mean(0)))
        return self._smoothed[1]

    def _observed(self, corrections: NDArray[np.int16], n_labels: int) -> tuple[Tensor, Tensor]:
        """Shares ``(n, K + 1)`` of the labels among each piece's corrected pixels, and how much
        of it ``(n,)`` they cover.
        """
        index = self.pieces.index
        rows, columns = np.nonzero(corrections >= 0)
        y = rows * index.shape[0] // corrections.shape[0]
        x = columns * index.shape[1] // corrections.shape[1]
        cell = index[y, x] * n_labels + corrections[rows, columns]
        counts = np.bincount(cell, minlength=len(self.pieces) * n_labels).reshape(-1, n_labels)
        total = counts.sum(1)
        pixels = self.pieces.sizes * (corrections.size / index.size)
        shares = counts / np.maximum(total, 1)[:, None]
        covered = np.minimum(total / pixels, 1)
        return torch.from_numpy(shares).float(), torch.from_numpy(covered).float()
