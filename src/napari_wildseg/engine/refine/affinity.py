"""Affinities between the places of one image, and what spreads along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.images.pixels import resize


def node_features(maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """Describe every cell of a grid by unit vectors, one group a map.

    `grid`: ``(gh, gw)``; returns ``(gh * gw, sum of C)`` float32; the dot product of two rows is
    their mean cosine.
    """
    return unit_rows([resize(values, grid).flatten(1).T for values in maps])


def unit_rows(groups: Sequence[Tensor]) -> Tensor:
    """Centre and scale groups of features, so that every group counts alike.

    Returns ``(N, sum of C)`` float32; the dot product of two rows is the mean of their groups'
    cosines.
    """
    unit = [F.normalize(rows - rows.mean(0), dim=1) for rows in groups]
    scale: float = len(groups) ** 0.5
    return torch.cat(unit, dim=1) / scale


def affinity_logits(nodes: Tensor, temperature: float, colours: Tensor) -> Tensor:
    """Return ``nodes @ nodes.T / temperature - colour distance``, to be put through a softmax.

    `nodes`: ``(N, C)`` from `node_features`; `colours`: ``(N, 3)`` float32, in units of the
    difference that weighs ``1 / e``; returns ``(N, N)`` float32.
    """
    distance: Tensor = torch.cdist(colours, colours)
    # One pass over the (N, N) numbers instead of three.
    return torch.addmm(distance, nodes / temperature, nodes.T, beta=-1)


def spread(affinity: Callable[[Tensor], Tensor], maps: Tensor, rounds: int) -> Tensor:
    """Average every map over similar places, again and again.

    `maps`: ``(K, h, w)`` with ``h * w = N``; returns ``(K, h, w)`` float32.
    """
    # Maps as rows: with places as rows, the few columns make each product three times slower.
    values = maps.flatten(1)
    for _ in range(rounds):
        values = affinity(values)
    return values.reshape(maps.shape)
