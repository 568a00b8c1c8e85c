"""How surely a name wins at its best places, against everyday rivals.

At every place a name competes in a softmax with a fixed set of rivals: everyday things and the
background words. Rivals that mean the same as the name do not count (a "sofa" is no evidence
against a "couch"). A fixed set makes a score independent of how long the vocabulary is, so one
cut serves all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.relevance.hyponyms import reach

BEST_PLACES = 0.05
"""Share of the image on which a name's evidence is averaged."""

SHARPNESS = 1.25
"""Softmax weight of one standard deviation of the rivals' evidence, for towers whose scores have
no scale of their own."""

ALIKE, SAME = 0.5, 0.8
"""Text similarities from which a rival counts less, and from which it does not count."""


def scores_at(places: Tensor, text: Tensor, rivals: Tensor, model: CLIPModel) -> Tensor:
    """Compute the share that each name has at each place.

    `places`: ``(D, N)`` place embeddings; `text`: ``(K, D)`` unit rows of the names; `rivals`:
    ``(R, D)`` unit rows; returns ``(K, N)`` float32 in [0, 1].
    """
    return shares_of(text @ places, rivals @ places, text, rivals, model)


def shares_of(
    names: Tensor, others: Tensor, text: Tensor, rivals: Tensor, model: CLIPModel
) -> Tensor:
    """As `scores_at`, from what texts get at each place.

    `names`, `others`: ``(K, N)`` and ``(R, N)``, products of rows and place embeddings.
    """
    if model.concepts is None:
        scale = model.logit_scale
    else:
        scale = SHARPNESS / float(others.std().clamp(min=1e-6))
        names = names / reach(text, model.concepts).sqrt()[:, None]
    names, others = names * scale, others * scale
    top = others.amax(0)
    alike = similarity(text, rivals, usual_cosine(rivals))
    counted = ((SAME - alike) / (SAME - ALIKE)).clamp(0, 1)
    against = (counted @ (others - top).exp()).clamp(min=1e-9).log() + top
    return torch.sigmoid(names - against)


def best(shares: Tensor) -> Tensor:
    """Average each name's share over its best places: ``(K, N) -> (K,)``."""
    count = max(1, round(BEST_PLACES * shares.shape[1]))
    return shares.topk(count, dim=1).values.mean(1)


def similarity(first: Tensor, second: Tensor, usual: float) -> Tensor:
    """Text similarity: the cosine, the usual one of unrelated names taken off.

    `first`, `second`: ``(K, D)`` and ``(L, D)`` unit rows; returns ``(K, L)``; about 0 for
    unrelated names, 1 for the same.
    """
    return (first @ second.T - usual) / (1 - usual)


def usual_cosine(rows: Tensor) -> float:
    """Mean cosine of unrelated names: near 0 in the starter, high in towers trained on captions.

    `rows`: ``(R, D)`` unit rows of many names, few of them related.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    total = float(rows.sum(0).square().sum())
    return min(0.95, max(0.0, (total - count) / (count * (count - 1))))
