"""What places answer to a name, where the image tower was trained on a closed list of classes.

Such classes exclude each other in training, so their rows say how each differs from the others.
What a name has in common with all the classes under it, its hyponyms, is lost when their rows are
averaged: a collie answers to "collie", and hardly to "dog", the mean of 118 breeds. So a name is
answered by the best of the classes it stands for. By the average as well: a name may lie between
classes, none of which is under it ("giraffe").

Which classes a name stands for is read off its own row, that of the text tower: those it is near.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

NEAR = 0.3
"""A name stands for the classes whose cosine to it is at least this part of the highest one."""

TOGETHER = 0.3
"""What the name's own row counts beside the best class."""

LEAST_REACH = 0.2
"""No name is thought to reach less."""


def reach(text: Tensor, concepts: Tensor) -> Tensor:
    """Return the most that a place can answer to each name's own row.

    A name that is a mixture of many classes ("person") never gets as strong an answer as one that
    is a class; its evidence is weighed by the root of this.

    `text`, `concepts`: ``(K, D)`` and ``(C, D)`` unit rows; returns ``(K,)`` float32, the highest
    cosine to any class.
    """
    return _reach(text @ concepts.T)


def _reach(cosines: Tensor) -> Tensor:
    return cosines.amax(1).clamp(min=LEAST_REACH)


def answers(text: Tensor, places: Tensor, concepts: Tensor) -> Tensor:
    """Ask places about names.

    `text`: ``(K, D)`` unit rows of the names; `places`: ``(N, D)`` float32 features; `concepts`:
    ``(C, D)`` unit rows of the classes (`CLIPModel.concepts`); returns ``(K, N)`` float32; for a
    name that is one of the classes, the product with its row.
    """
    asked, roots, classes = _classes_of(text, concepts)
    # Names by places: what a name reads of its classes is whole rows.
    products = asked @ places.T
    own, each = products[: len(text)], products[len(text) :]
    found: Tensor = own * (TOGETHER / roots)
    for answer, (those, weights) in zip(found, classes, strict=True):
        if len(those):
            best = (each[those] * weights).amax(0)
            answer.add_(best, alpha=1 - TOGETHER)
    return found


@lru_cache(maxsize=1)
def _classes_of(
    text: Tensor, concepts: Tensor
) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
    """Say what to ask places of; the same for all views of an image, so it is kept.

    Returns ``(K + A, D)`` rows: the names, then every class that one of them stands for; returns
    ``(K, 1)``, of the reach of each name.
    """
    cosines = text @ concepts.T
    reached = _reach(cosines)[:, None]
    heard = cosines >= NEAR * reached
    asked = torch.nonzero(heard.any(0))[:, 0]
    weights = (cosines[:, asked] / reached).clamp(min=0).sqrt()
    classes = [
        (torch.nonzero(own)[:, 0], row[own][:, None])
        for own, row in zip(heard[:, asked], weights, strict=True)
    ]
    return torch.cat([text, concepts[asked]]), reached.sqrt(), classes
