"""Corrections as observations on a grid, and what they say about everywhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_OBSERVATIONS = 400
"""Cells that enter the Gaussian process; more are thinned evenly, class by class."""


@dataclass(frozen=True)
class Observations:
    """Corrected cells of a grid.

    Attributes
    ----------
    mask : torch.Tensor
        ``(gh, gw)`` bool: the cell holds a corrected pixel.
    targets : torch.Tensor
        ``(K + 1, gh, gw)`` float32: share of each class among the cell's corrected pixels.
    """

    mask: Tensor
    targets: Tensor


def observe(corrections: NDArray[np.int16], grid: tuple[int, int], n_classes: int) -> Observations:
    """Count corrected pixels cell by cell.

    Parameters
    ----------
    corrections : ndarray
        ``(H, W)`` int16, -1 = not corrected, else 0..K.
    grid : tuple of int
        ``(gh, gw)`` cells that tile the image.
    n_classes : int
        K.
    """
    rows, columns = np.nonzero(corrections >= 0)
    y = rows * grid[0] // corrections.shape[0]
    x = columns * grid[1] // corrections.shape[1]
    cell = (corrections[rows, columns].astype(np.int64) * grid[0] + y) * grid[1] + x
    flat = np.bincount(cell, minlength=(n_classes + 1) * grid[0] * grid[1])
    counts = torch.from_numpy(flat.reshape(n_classes + 1, *grid)).float()
    total = counts.sum(0)
    return Observations(total > 0, counts / total.clamp(min=1))


def posterior(
    prior: Tensor,
    seen: Observations,
    nodes: Tensor,
    grid: tuple[int, int],
    *,
    alike: float = 0.5,
    near: float = 0.25,
    local: float = 0.06,
    noise: float = 0.05,
) -> Tensor:
    """Condition the prior on the observations by a Gaussian process.

    Parameters
    ----------
    prior : torch.Tensor
        ``(K + 1, gh, gw)`` probabilities, the process's mean.
    seen : Observations
        On the same grid.
    nodes : torch.Tensor
        ``(gh * gw, C)`` features with unit-length rows (`affinity.node_features`).
    grid : tuple of int
        ``(gh, gw)``.
    alike : float
        Length scale of the kernel over features, in units of their distance.
    near : float
        Length scale over the image, as a share of its longer side, for places that look alike.
    local : float
        The same for close places whatever they look like.
    noise : float
        Variance of an observation.

    Returns
    -------
    torch.Tensor
        ``(K + 1, gh, gw)`` probabilities.
    """
    where = _thin(seen)
    place = torch.stack(
        torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij"), dim=-1
    )
    place = place.reshape(-1, 2).float() / max(grid)
    look = 2 - 2 * (nodes @ nodes[where].T)
    far = torch.cdist(place, place[where]).square()
    wide = torch.exp(-look / (2 * alike**2) - far / (2 * near**2))
    close = torch.exp(-look / (4 * alike**2) - far / (2 * local**2))
    to_seen = 0.75 * wide + 0.25 * close
    among = to_seen[where] + noise * torch.eye(len(where))
    target = seen.targets.flatten(1)[:, where].T
    mean = prior.flatten(1).T
    gain: Tensor = torch.linalg.solve(among.double(), (target - mean[where]).double()).float()
    updated = (mean + to_seen @ gain).clamp(min=1e-4)
    updated = updated / updated.sum(1, keepdim=True)
    return updated.T.reshape(prior.shape)


def _thin(seen: Observations) -> Tensor:
    """Return the flat indices of at most `MAX_OBSERVATIONS` cells, a fair share a class."""
    winner = seen.targets.argmax(0).flatten()
    mask = seen.mask.flatten()
    groups = [torch.nonzero(mask & (winner == k))[:, 0] for k in range(len(seen.targets))]
    groups = [g for g in groups if len(g)]
    share = max(1, MAX_OBSERVATIONS // len(groups))
    kept = [g[torch.linspace(0, len(g) - 1, min(len(g), share)).long()] for g in groups]
    return torch.cat(kept).sort().values
