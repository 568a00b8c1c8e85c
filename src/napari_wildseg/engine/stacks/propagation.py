"""Propagation of labels from known planes of a stack to another plane, as seeds.

Each cell of the target plane takes the labels of the most similar cells of the known planes, by
the network's local features, colours and distance. This is label propagation over feature
affinity, as in the evaluation of Jabri et al., *Space-Time Correspondence as a Contrastive Random
Walk*, NeurIPS 2020. Where the vote is clear it becomes a seed; the rest is left to the refinement
of the plane. The known planes are the corrected one, which is exact but may be far away, and the
previous one, which is the most similar.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.images.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.images.pixels import lab_of

_NEIGHBOURS = 12
"""Number of most similar cells that vote."""

_TEMPERATURE = 0.05
"""Feature cosine that changes a weight by a factor e."""

_COLOUR_SCALE = 20.0
"""CIE Lab distance that changes a weight by a factor e."""

_DISTANCE_SCALE = 0.25
"""Standard deviation of the distance weight, as a fraction of the longer side."""

_MIN_VOTES = 0.9
"""Share of the votes from which a cell becomes a seed."""


@dataclass(frozen=True)
class PlaneFeatures:
    """Features and colours of the cells of one plane.

    Attributes
    ----------
    shape : tuple of int
        ``(H, W)`` of the plane.
    features : torch.Tensor
        ``(C, gh, gw)`` float32: local features, each group of unit length on average.
    colours : torch.Tensor
        ``(3, gh, gw)`` float32 CIE Lab.
    """

    shape: tuple[int, int]
    features: Tensor
    colours: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """``(gh, gw)``."""
        return (self.colours.shape[1], self.colours.shape[2])


def plane_features_of(
    image: NDArray[np.uint8], features: Sequence[NDArray[np.float32]]
) -> PlaneFeatures:
    """Compute the features and colours of a plane.

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    features : sequence of ndarray
        Local features of the network, each ``(C, h, w)`` float32; if empty, only colours are used.
    """
    shape = (image.shape[0], image.shape[1])
    grid = grid_of(shape, GRID_SIDE)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, grid, mode="area")[0].permute(1, 2, 0).numpy()
    groups = [torch.zeros(0, *grid)]
    for values in features:
        sized = F.interpolate(torch.from_numpy(values)[None], grid, mode="bilinear")[0]
        groups.append(sized / sized.square().sum(0).mean().sqrt().clamp(min=1e-6))
    return PlaneFeatures(shape, torch.cat(groups), lab_of(small))


def label_votes(
    known: Sequence[tuple[PlaneFeatures, NDArray[np.integer]]],
    target: PlaneFeatures,
    n_classes: int,
) -> Tensor:
    """Let the cells of known planes vote on the labels of another plane's cells.

    Parameters
    ----------
    known : sequence of (PlaneFeatures, ndarray)
        Planes with their labels: ``(H, W)`` 0..K; 255 and negative values do not vote.
    target : PlaneFeatures
        The plane to be labelled.
    n_classes : int
        K.

    Returns
    -------
    torch.Tensor
        ``(K + 1, gh, gw)`` float32: shares of the votes, summing to 1.
    """
    rows, votes, colours, places = [], [], [], []
    for look, labels in known:
        shares = _shares(labels, look.grid, n_classes)
        sure = (shares.amax(0) > 0.99).flatten()
        rows.append(look.features.flatten(1).T[sure])
        votes.append(shares.flatten(1).T[sure])
        colours.append(look.colours.flatten(1).T[sure])
        places.append(_places(look.grid)[sure])
    source, vote = torch.cat(rows), torch.cat(votes)
    asked = target.features.flatten(1).T
    # The mean carries no information on similarity.
    mean = torch.cat([source, asked]).mean(0)
    source, asked = F.normalize(source - mean, dim=1), F.normalize(asked - mean, dim=1)
    colour, place = torch.cat(colours), torch.cat(places)
    answers = []
    for start in range(0, len(asked), 1024):
        part = slice(start, start + 1024)
        score = asked[part] @ source.T / _TEMPERATURE
        score -= torch.cdist(target.colours.flatten(1).T[part], colour) / _COLOUR_SCALE
        score -= torch.cdist(_places(target.grid)[part], place).square() / (2 * _DISTANCE_SCALE**2)
        best = score.topk(min(_NEIGHBOURS, score.shape[1]), dim=1)
        weight = best.values.softmax(1)
        answers.append((weight[:, :, None] * vote[best.indices]).sum(1))
    return torch.cat(answers).T.reshape(n_classes + 1, *target.grid)


def propagate(
    known: Sequence[tuple[PlaneFeatures, NDArray[np.integer]]],
    target: PlaneFeatures,
    n_classes: int,
    corrections: NDArray[np.int16] | None = None,
) -> NDArray[np.uint8]:
    """Compute seeds for a plane from known planes.

    Parameters
    ----------
    known : sequence of (PlaneFeatures, ndarray)
        As for `label_votes`; usually the corrected plane and the neighbour of ``target``.
    target : PlaneFeatures
        The plane to be labelled.
    n_classes : int
        K.
    corrections : ndarray, optional
        ``(H, W)`` int16: the plane's own corrections, which override every seed; -1 elsewhere.

    Returns
    -------
    ndarray
        ``(H, W)`` uint8: 0..K where the vote is clear, 255 elsewhere.
    """
    votes = label_votes(known, target, n_classes)
    best = votes.max(0)
    seeds = (
        torch.where(best.values >= _MIN_VOTES, best.indices, UNLABELLED).numpy().astype(np.uint8)
    )
    height, width = target.shape
    rows = np.arange(height) * seeds.shape[0] // height
    columns = np.arange(width) * seeds.shape[1] // width
    full: NDArray[np.uint8] = seeds[rows][:, columns]
    if corrections is not None:
        np.copyto(full, corrections, where=corrections >= 0, casting="unsafe")
    return full


def _shares(labels: NDArray[np.integer], grid: tuple[int, int], n_classes: int) -> Tensor:
    """Return the fraction of each label in every cell, ``(K + 1, gh, gw)``."""
    known = torch.from_numpy(np.where(labels > n_classes, -1, labels.astype(np.int16)))
    return torch.stack(
        [
            F.interpolate((known == k)[None, None].float(), grid, mode="area")[0, 0]
            for k in range(n_classes + 1)
        ]
    )


def _places(grid: tuple[int, int]) -> Tensor:
    """Return ``(gh * gw, 2)``, rows and columns of the cells as fractions of the longer side."""
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.stack([y.flatten(), x.flatten()], dim=1).float() / max(grid)
