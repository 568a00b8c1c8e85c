"""What corrections teach about the rest of the image.

A Gaussian process of mean zero over the superpixels models the error of the relevance maps, label
by label (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, ch. 2). Its kernel
compares the network's features, colours, places and the maps' probabilities. It has two kinds of
observations: the maps are right about every superpixel, with a precision that grows with their
margin, and corrected pixels have the given label, with a high precision.

The precision of the maps is multiplied by a factor that the strokes decide: it falls with the
maps' mean error under them, and with their number.

A stroke also counts for its surroundings, up to the nearest place that had its label when it was
made (`reach`). That result is estimated by leaving the stroke out, so the order does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.refine.learning.kernels import low_rank, refine_at
from napari_wildseg.engine.refine.learning.observe import count_in_superpixels, shares_of
from napari_wildseg.engine.refine.learning.reach import (
    Dabs,
    find_dabs,
    find_reach,
    limit_radii,
    shrink_labels,
)
from napari_wildseg.engine.refine.learning.strokes import consistency, similarity, uniformity
from napari_wildseg.engine.refine.superpixels import Superpixels

_LEAST_SURPRISE = 0.3
"""Least mean error of the maps under the strokes."""

_MOST_STROKES = 8
"""Further strokes do not lower the precision of the maps."""

_MOST_FOLDS = 8
"""More strokes are left out several at a time."""

_MOST_EXACT = 128
"""Between so many corrected superpixels the kernel is exact: those that are covered most."""

_LEAST_PRECISION = 1e-4
"""Lower precisions are set to 0."""


@dataclass(frozen=True)
class Learning:
    """Settings, chosen by measurement (docs/method.md)."""

    alike: float = 1.0  # length scale over unit feature vectors
    colour: float = 18.0  # length scale in CIE Lab
    near: float = 2.0  # length scale over the image, in units of its longer side
    prior_scale: float = 1.0  # length scale over the maps' probabilities of the labels
    prior_std: float = 6.0  # standard deviation of the maps' error on a superpixel with margin 1
    # Exponent of the margin between the two best labels, in the precision of the maps.
    decided: float = 4.0
    # Exponent with which the maps' total precision is made equal over the labels: a few dabs of
    # background would erase a small thing otherwise.
    balance: float = 0.25
    # Exponent of the maps' mean error under the strokes, in the factor on their precision.
    surprise: float = 1.5
    stroke_exponent: float = 0.5  # exponent of the number of strokes, in the same factor
    noise: float = 0.05  # variance of a correction that covers its superpixel
    # Upper limit of a stroke's total weight, in superpixels, as its pixels are not independent.
    max_stroke_weight: float = 1.0
    # Size, in superpixels, of the largest disc within a stroke from which on its weight falls, by
    # the square: a filled region says little about the rest.
    thick: float = 8.0
    # Exponent of a pixel's similarity to its stroke, in its weight (`strokes.consistency`).
    consistent: float = 1.0
    # Range of a stroke's effect on its surroundings, as a share of the distance to the nearest
    # place that has its label already (`reach`).
    reach: float = 0.7
    reach_precision: float = 0.5  # precision of that effect at the stroke's centre
    farthest: float = 0.07  # upper limit of that distance, in units of the image's longer side
    # Bonus on the probability of the label that a superpixel has without corrections, after one
    # stroke over things that have nothing in common (`Learner.favour`).
    favour: float = 2.75
    # Exponent of the number of strokes: how fast that bonus falls with it.
    favour_exponent: float = 0.75
    # Penalty on the probability of a label that was painted on nothing like the superpixel, and
    # the exponent with which it grows with the difference.
    unlike: float = 2.0
    unlike_exponent: float = 3.0
    rank: int = 400  # of the kernel


class Learner:
    """Learns from the corrections of one image.

    `features`: ``(n, C)`` float32 unit rows (`Superpixels.features`).
    """

    def __init__(
        self, superpixels: Superpixels, features: Tensor, options: Learning | None = None
    ) -> None:
        self.superpixels = superpixels
        self.options = options = options or Learning()
        self._points = superpixels.points(
            features, alike=options.alike, colour=options.colour, near=options.near
        )
        self._kernel: _Kernel | None = None

    def change(
        self,
        prior: Tensor,
        corrections: NDArray[np.int16],
        agree: Callable[[Tensor], Tensor] | None = None,
        dabs: Dabs | None = None,
        belief: float = 1.0,
    ) -> Tensor:
        """Compute by how much corrections change the probabilities of every superpixel.

        `prior`: ``(n, K + 1)`` float32 probabilities without corrections; `corrections`: ``(H, W)``
        int16 over the image, -1 = not corrected, else 0..K; `agree`: maps ``(B, n, K + 1)`` float32
        to the same shape; returns ``(n, K + 1)`` float32, of sum zero for each superpixel.
        """
        index = self.superpixels.index
        dabs = self.find(corrections) if dabs is None else dabs
        folds = min(len(dabs), _MOST_FOLDS)
        fold = np.arange(len(dabs)) % max(folds, 1)
        # Pixels of no dab are in a fold of their own, which is never left out.
        groups = np.append(fold, folds)[dabs.index]
        shape = (prior.shape[0], prior.shape[1])
        weights = self._pixel_weights(dabs)
        counts = count_in_superpixels(corrections, index, shape, groups, folds + 1, weights)
        sizes = self.superpixels.sizes * np.float32(corrections.size / index.size)
        counted = counts.sum(0)
        votes = self._votes(counted, sizes)
        evidence = _Evidence(prior, belief * self._trust(prior), self._features_for(prior, votes))
        wrong = self._errors_under_dabs(prior, dabs)
        radii = np.zeros(len(dabs))
        changes = []
        for out in range(folds):
            rest = wrong[torch.from_numpy(fold != out)]
            changes.append(
                evidence.change(self._votes(counted - counts[out], sizes), self._trust_factor(rest))
            )
        if changes:
            seen = prior + torch.stack(changes)
            labels = (seen if agree is None else agree(seen)).argmax(2).numpy()[:, index]
            for dab, out in enumerate(fold.tolist()):
                radii[dab] = find_reach(
                    int(dabs.labels[dab]),
                    dabs.centres[dab],
                    labels[out],
                    self.options.farthest * max(index.shape),
                )
        around = self._stroke_precision(dabs, limit_radii(dabs, radii), prior.shape[1])
        votes += around * (votes.sum(1, keepdim=True) == 0)
        return evidence.change(votes, self._trust_factor(wrong))

    def favour(self, after: Tensor, first: Tensor, corrections: NDArray[np.int16]) -> Tensor:
        """Favour the labels that superpixels have without corrections.

        Of the changes that win by a small margin, half are wrong. How much is held back depends on
        the strokes: more where they run over unlike things, since then it is less clear what is
        meant, and less the more strokes there are, since one may be a slip. A change to a label is
        also held back the more, the less the superpixel is like the strokes of that label.

        `after`, `first`: ``(n, K + 1)`` float32 probabilities with and without corrections, after
        step 3; `corrections`: ``(H, W)`` int16 over the image, -1 = not corrected, else 0..K;
        returns ``(n, K + 1)`` float32, rows sum to 1.
        """
        index, options = self.superpixels.index, self.options
        small = shrink_labels(corrections, index.shape)
        dabs = find_dabs(small)
        if not len(dabs):
            return after
        uneven = 1 - float(uniformity(dabs, index, self._points).mean())
        strokes = min(len(dabs), _MOST_STROKES)
        similar = torch.zeros_like(after)
        for stroke, label in zip(similarity(dabs, index, self._points), dabs.labels, strict=True):
            similar[:, label] = torch.maximum(similar[:, label], stroke)
        held = options.unlike * (1 - similar) ** options.unlike_exponent
        held += options.favour * uneven / strokes**options.favour_exponent
        label = first.argmax(1, keepdim=True)
        held.scatter_(1, label, 0)
        held[torch.from_numpy(index[small >= 0])] = 0
        # What is held back from the strongest other label is a bonus on the first one. More would
        # make all labels alike where many were painted on other things.
        others = (after - held).scatter_(1, label, -torch.inf)
        bonus = held.gather(1, others.argmax(1, keepdim=True))
        favoured: Tensor = (after - held + bonus).clamp_(min=0)
        return favoured.div_(favoured.sum(1, keepdim=True))

    def find(self, corrections: NDArray[np.int16]) -> Dabs:
        """Find the strokes of corrections, ``(H, W)`` int16, as fine as the superpixels."""
        return find_dabs(shrink_labels(corrections, self.superpixels.index.shape))

    def pull(self, dabs: Dabs) -> Tensor:
        """Compute how strongly corrected pixels pull at their neighbours in the random walk.

        Returns ``(h, w)`` float32 in (0, 1], as fine as the superpixels: 1 for a dab and where
        nothing is corrected.
        """
        return torch.from_numpy(self._pixel_weights(dabs)).float()

    def _pixel_weights(self, dabs: Dabs) -> NDArray[np.float64]:
        """``(h, w)`` in (0, 1]: what each corrected pixel counts; 1 for those of no stroke."""
        return np.minimum(1, self._stroke_weights(dabs)[dabs.index] * self._consistency(dabs))

    def _consistency(self, dabs: Dabs) -> NDArray[np.float64]:
        return consistency(dabs, self.superpixels.index, self._points, self.options.consistent)

    def _features_for(self, prior: Tensor, votes: Tensor) -> Tensor:
        """Features of all superpixels, exact for corrected ones; ``votes`` as from `_votes`."""
        kernel = self._kernel
        if kernel is None or not torch.equal(kernel.prior, prior):
            points = torch.cat([self._points, prior / self.options.prior_scale], dim=1)
            kernel = _Kernel(prior, points, low_rank(points, self.options.rank))
            self._kernel = kernel  # the maps stay as they are from dab to dab
        firm = votes.sum(1)
        found = torch.nonzero(firm)[:, 0]
        most = firm[found].argsort(descending=True, stable=True)[:_MOST_EXACT]
        return refine_at(kernel.features, kernel.points, found[most])

    def _trust(self, prior: Tensor) -> Tensor:
        """``(n,)`` precision of the maps about each superpixel, before the strokes' factor."""
        options = self.options
        top = prior.topk(2, dim=1)
        margin = (top.values[:, 0] - top.values[:, 1]).clamp(min=0.1)
        # The total precision does not depend on the number of superpixels.
        trust = margin**options.decided / (options.prior_std**2 * len(self.superpixels) / 1500)
        label = top.indices[:, 0]
        altogether = torch.zeros(prior.shape[1]).index_add_(0, label, trust).clamp_(min=1e-3)
        return trust * ((altogether.amax() / altogether) ** options.balance)[label]

    def _votes(self, counted: Tensor, sizes: NDArray[np.float32]) -> Tensor:
        """``(n, K + 1)`` precision of corrected pixels for the labels of their superpixels."""
        shares, covered = shares_of(counted, sizes)
        return shares * (covered / self.options.noise)[:, None]

    def _stroke_weights(self, dabs: Dabs) -> NDArray[np.float64]:
        """``(m + 1,)`` what a pixel of each stroke counts; the last is for pixels of none."""
        pixels = np.bincount(dabs.index[dabs.index >= 0], minlength=len(dabs))
        share = self.options.max_stroke_weight / (pixels * self._density)
        return np.append(np.minimum(1, share) * self._thinness(dabs), 1.0)

    def _thinness(self, dabs: Dabs) -> NDArray[np.float64]:
        """``(m,)`` in (0, 1]: 1 for what may be a stroke of a brush, low for a filled region."""
        disc = np.pi * dabs.depths**2 * self._density
        thin: NDArray[np.float64] = np.minimum(1, self.options.thick / disc) ** 2
        return thin

    @property
    def _density(self) -> float:
        """Superpixels a pixel."""
        return len(self.superpixels) / self.superpixels.index.size

    def _errors_under_dabs(self, prior: Tensor, dabs: Dabs) -> Tensor:
        """``(m,)`` by how much the maps were wrong under each dab."""
        at = prior[self.superpixels.index[tuple(dabs.centres.T)]]
        right = at.gather(1, torch.from_numpy(dabs.labels)[:, None])[:, 0]
        return at.amax(1) - right

    def _trust_factor(self, wrong: Tensor) -> float:
        """Factor on the trust in the maps: the less right they were under the dabs, the lower."""
        if not len(wrong):
            return 1.0
        surprise = max(float(wrong.mean()), _LEAST_SURPRISE) ** self.options.surprise
        number = min(len(wrong), _MOST_STROKES) ** self.options.stroke_exponent
        return float(1 / (surprise * number))

    def _stroke_precision(self, dabs: Dabs, radii: NDArray[np.float64], n_labels: int) -> Tensor:
        """``(n, n_labels)`` precision of strokes for the superpixels around them."""
        side = max(self.superpixels.index.shape)
        centres = torch.from_numpy((dabs.centres + 0.5) / side).float()
        reach = torch.from_numpy(radii / side).float() * self.options.reach
        away = torch.cdist(self.superpixels.places, centres) / reach.clamp(min=1e-6)
        precision = self.options.reach_precision * torch.exp(-away.square())
        precision[precision < _LEAST_PRECISION] = 0
        votes = torch.zeros(len(self.superpixels), n_labels)
        return votes.index_add_(1, torch.from_numpy(dabs.labels), precision)


@dataclass(frozen=True)
class _Kernel:
    """The kernel of one list of classes."""

    prior: Tensor  # ``(n, K + 1)`` float32, what the maps say of each superpixel
    points: Tensor  # ``(n, C + 6 + K)`` float32, which the kernel compares
    features: Tensor  # ``(n, r)`` float32 (`kernels.low_rank`)


class _Evidence:
    """A regression on the features of a kernel, which has the maps as observations.

    `prior`: ``(n, K + 1)`` float32, the maps' probabilities of each superpixel; `trust`: ``(n,)``
    float32, their precision; `features`: ``(n, r)`` float32 (`kernels.low_rank`).
    """

    def __init__(self, prior: Tensor, trust: Tensor, features: Tensor) -> None:
        self._prior = prior
        self._features = features
        self._of_maps = features.T @ (features * trust[:, None])
        self._start = torch.eye(features.shape[1])

    def change(self, votes: Tensor, belief: float) -> Tensor:
        """Return the mean of the posterior, less the prior: ``(n, K + 1)``.

        `votes`: ``(n, K + 1)`` float32, the precision with which each label is voted for.
        """
        at = torch.nonzero(votes.sum(1))[:, 0]
        features = self._features[at]
        # What the features miss of a superpixel is its own affair, a noise to the others (FITC:
        # Snelson & Ghahramani, NIPS 2005).
        missed = (1 - features.square().sum(1)).clamp(min=0)
        votes = votes[at] / (1 + votes[at].sum(1) * missed)[:, None]
        firm = votes.sum(1, keepdim=True)
        precision = self._start + belief * self._of_maps + features.T @ (features * firm)
        pull = features.T @ (votes - firm * self._prior[at])
        return self._features @ torch.cholesky_solve(pull, torch.linalg.cholesky(precision))
