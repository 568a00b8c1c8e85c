"""Relevance for image towers that were trained on a closed list of classes.

Such classes exclude each other in training, so their classifier rows encode the differences
between them. The mean of a name's hyponyms loses what they have in common: a collie scores high
for "collie" and low for "dog", the mean of 118 breeds. The relevance of a name is therefore a
weighted sum of two terms: the best score of the classes it stands for, and the score of its own
text vector. The second term covers names between classes, such as "giraffe".

A name stands for the classes whose rows are close to its text vector.
"""

from functools import lru_cache

import torch
from torch import Tensor

HYPONYM_CUT = 0.3
"""A name stands for the classes with at least this fraction of its highest cosine to any class."""

OWN_WEIGHT = 0.3
"""Weight of the name's own vector; the best class has the rest."""

_MIN_REACH = 0.2
"""Lower bound of `reach`."""


def reach(text: Tensor, concepts: Tensor) -> Tensor:
    """Return the highest cosine of each name to any class.

    A name that covers many classes ("person") has a smaller maximal score than a name that is a
    class; its scores are divided by the square root of this value.

    `text`, `concepts`: ``(K, D)`` and ``(C, D)`` unit rows; returns ``(K,)`` float32.
    """
    return _reach(text @ concepts.T)


def _reach(cosines: Tensor) -> Tensor:
    return cosines.amax(1).clamp(min=_MIN_REACH)


def relevance_of_names(text: Tensor, places: Tensor, concepts: Tensor) -> Tensor:
    """Compute the relevance of names at each position of a feature map.

    `text`: ``(K, D)`` unit rows of the names; `places`: ``(N, D)`` float32 features; `concepts`:
    ``(C, D)`` unit rows of the classes (`CLIPModel.concepts`). Returns ``(K, N)`` float32; for a
    name that is one of the classes this is the product with its row.
    """
    used, roots, classes = _classes_of(text, concepts)
    # Names by positions, so that each name reads whole rows.
    products = used @ places.T
    own, each = products[: len(text)], products[len(text) :]
    found: Tensor = own * (OWN_WEIGHT / roots)
    for answer, (those, weights) in zip(found, classes, strict=True):
        if len(those):
            best = (each[those] * weights).amax(0)
            answer.add_(best, alpha=1 - OWN_WEIGHT)
    return found


@lru_cache(maxsize=1)
def _classes_of(
    text: Tensor, concepts: Tensor
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the rows to multiply with the features; cached, since all views share them.

    Returns ``(K + A, D)`` rows (the names, then all classes that one of them stands for); the
    ``(K, 1)`` square roots of the names' reach; and for each name its classes and their weights.
    """
    cosines = text @ concepts.T
    reached = _reach(cosines)[:, None]
    related = cosines >= HYPONYM_CUT * reached
    used = torch.nonzero(related.any(0))[:, 0]
    weights = (cosines[:, used] / reached).clamp(min=0).sqrt()
    classes = [
        (torch.nonzero(own)[:, 0], row[own][:, None])
        for own, row in zip(related[:, used], weights, strict=True)
    ]
    return torch.cat([text, concepts[used]]), reached.sqrt(), classes
