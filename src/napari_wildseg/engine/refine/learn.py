"""What corrections teach about the rest of the image.

How far the relevance maps are wrong about each label of an image's pieces (`superpixels`) is a
Gaussian process of mean zero, whose kernel joins pieces that look alike to the network, have
similar colours and lie near each other (Rasmussen & Williams, *Gaussian Processes for Machine
Learning*, 2006, ch. 2). It has seen two kinds of observations: that the maps are right, piece by
piece, believed the less the less decided they are, and what the annotator said of a few pieces,
believed firmly. So a dab wins over all that looks like it and was in doubt, and over little that
was certain; many dabs outweigh the maps; and what is like no dab keeps the label it had.

How far the maps are believed is learned from the dabs as well: a dab on what was nearly right says
that they are good, one on what they were certain of that they are not, and every further dab that
something is still wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.refine.observe import observe_pieces
from napari_wildseg.engine.refine.reach import Dabs, find_dabs, shrink_labels
from napari_wildseg.engine.refine.superpixels import Superpixels

_LEAST_SURPRISE = 0.3
"""Dabs on what was nearly right do not make the maps more believable than this does."""

_MOST_STROKES = 8
"""From so many strokes on, further ones leave the belief in the maps as it is."""


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
    surprise : float
        Exponent of the margin by which the maps were wrong under the dabs: how fast belief in them
        falls with it.
    insistence : float
        Exponent of the number of strokes: how fast belief in the maps falls with it.
    noise : float
        Variance of a correction that covers its piece.
    reach : float
        A dab speaks of its surroundings too, to this share of the distance to the nearest place
        that has its label already (`reach`).
    loudness : float
        How firmly it does at its centre, as the inverse of a variance.
    farthest : float
        Upper limit of that distance, in units of the image's longer side.
    """

    alike: float = 1.0
    colour: float = 18.0
    near: float = 1.0
    doubt: float = 6.0
    decided: float = 4.0
    surprise: float = 2.0
    insistence: float = 0.5
    noise: float = 0.05
    reach: float = 0.7
    loudness: float = 0.5
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
        self.kernel = pieces.kernel(
            looks, alike=self.options.alike, colour=self.options.colour, near=self.options.near
        )

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
            ``(n, K + 1)`` float32, of sum zero for each piece.
        """
        options = self.options
        index, sizes = self.pieces.index, self.pieces.sizes
        shares, covered = observe_pieces(corrections, index, sizes, prior.shape[1])
        dabs = self._find_dabs(prior, corrections)
        top = prior.topk(2, dim=1).values
        margin = (top[:, 0] - top[:, 1]).clamp(min=0.1)
        # A piece is one voice among as many as there are, however finely the image is cut.
        trust = margin**options.decided / (options.doubt**2 * len(self.pieces) / 1500)
        trust *= self._belief(prior, dabs)
        votes = shares * (covered / options.noise)[:, None]
        votes += self._around(prior, dabs) * (covered == 0)[:, None]
        firm = votes.sum(1, keepdim=True)
        precision = firm + trust[:, None]
        wrong = (votes - firm * prior) / precision
        factor = torch.linalg.cholesky(self.kernel + torch.diag(1 / precision[:, 0]))
        return self.kernel @ torch.cholesky_solve(wrong, factor)

    def _find_dabs(self, prior: Tensor, corrections: NDArray[np.int16]) -> Dabs:
        """The strokes of a correction map, on the pixels that the pieces are made of."""
        index = self.pieces.index
        labels = prior.argmax(1).numpy()[index]
        farthest = self.options.farthest * max(index.shape)
        return find_dabs(shrink_labels(corrections, index.shape), labels, farthest)

    def _belief(self, prior: Tensor, dabs: Dabs) -> float:
        """Factor on the trust in the maps: the less right they were under the dabs, the lower."""
        strokes = len(dabs.labels)
        if not strokes:
            return 1.0
        rows, columns = dabs.centres.astype(np.int64).T
        at = prior[self.pieces.index[rows, columns]]
        right = at.gather(1, torch.from_numpy(dabs.labels)[:, None])[:, 0]
        wrong = float((at.amax(1) - right).mean())
        surprise = max(wrong, _LEAST_SURPRISE) ** self.options.surprise
        insistence = min(strokes, _MOST_STROKES) ** self.options.insistence
        return float(1 / (surprise * insistence))

    def _around(self, prior: Tensor, dabs: Dabs) -> Tensor:
        """``(n, K + 1)`` precision with which dabs speak of the pieces around them."""
        side = max(self.pieces.index.shape)
        votes = torch.zeros_like(prior)
        centres = torch.from_numpy((dabs.centres + 0.5) / side).float()
        radii = torch.from_numpy(dabs.radii / side).float() * self.options.reach
        away = torch.cdist(self.pieces.places, centres) / radii.clamp(min=1e-6)
        loud = self.options.loudness * torch.exp(-away.square())
        return votes.index_add_(1, torch.from_numpy(dabs.labels), loud)
