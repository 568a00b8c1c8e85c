"""Scores of names at their best positions, in competition with everyday rivals.

At every position a name competes in a softmax with a fixed set of rivals: everyday objects and the
background words. Synonyms of the name are excluded from its rivals ("sofa" for "couch"). Since the
set is fixed, the share does not depend on the length of the vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_wildseg.engine.classes import fold
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.relevance.hyponyms import reach

BEST_PLACES = 0.05
"""Fraction of the image over which a name's best evidence is averaged."""

RIVAL_SHARPNESS = 1.25
"""Softmax weight of one standard deviation of the rivals' evidence, for towers without a logit
scale."""

_SIMILAR, _SYNONYM = 0.5, 0.8
"""Text similarities from which a rival has less weight, and from which it has none."""


def rivals_beside(names: Sequence[str], rivals: Sequence[str]) -> list[str]:
    """Return the rivals that are none of the names; all of them if none is left."""
    taken = {fold(name) for name in names}
    return [word for word in rivals if fold(word) not in taken] or list(rivals)


def local_shares(places: Tensor, text: Tensor, rivals: Tensor, model: CLIPModel) -> Tensor:
    """Return the share of each name at each position.

    `places`: ``(D, N)`` local embeddings; `text`: ``(K, D)`` unit rows of the names; `rivals`:
    ``(R, D)`` unit rows. Returns ``(K, N)`` float32 in [0, 1].
    """
    return shares_from_evidence(text @ places, rivals @ places, text, rivals, model)


def shares_from_evidence(
    names: Tensor, others: Tensor, text: Tensor, rivals: Tensor, model: CLIPModel
) -> Tensor:
    """Return the shares as `local_shares` does, from the texts' evidence.

    `names`, `others`: ``(K, N)`` and ``(R, N)``, products of text rows and local embeddings.
    """
    if model.concepts is None:
        scale = model.logit_scale
    else:
        scale = RIVAL_SHARPNESS / float(others.std().clamp(min=1e-6))
        names = names / reach(text, model.concepts).sqrt()[:, None]
    names, others = names * scale, others * scale
    top = others.amax(0)
    alike = similarity(text, rivals, mean_cosine(rivals))
    counted = ((_SYNONYM - alike) / (_SYNONYM - _SIMILAR)).clamp(0, 1)
    against = (counted @ (others - top).exp()).clamp(min=1e-9).log() + top
    return torch.sigmoid(names - against)


def best(shares: Tensor) -> Tensor:
    """Average each name's share over its best positions: ``(K, N) -> (K,)``."""
    count = max(1, round(BEST_PLACES * shares.shape[1]))
    return shares.topk(count, dim=1).values.mean(1)


def similarity(first: Tensor, second: Tensor, usual: float) -> Tensor:
    """Return the text similarity: the cosine, rescaled by the mean cosine of unrelated names.

    `first`, `second`: ``(K, D)`` and ``(L, D)`` unit rows. Returns ``(K, L)``: about 0 for
    unrelated names, 1 for the same name.
    """
    return (first @ second.T - usual) / (1 - usual)


def mean_cosine(rows: Tensor) -> float:
    """Return the mean cosine of unrelated names: near 0 for the starter, high for caption towers.

    `rows`: ``(R, D)`` unit rows of many names, few of them related.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    total = float(rows.sum(0).square().sum())
    return min(0.95, max(0.0, (total - count) / (count * (count - 1))))
