"""Image-level labels: which names of a vocabulary are in the image.

In the spirit of TagCLIP (Lin et al., AAAI 2024): the evidence is local. At every place the names
and the background words compete in a softmax; a name's score is how surely it wins at its best
places. One global score per image misses what is small.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from napari_wildseg.engine.encoding import ImageEncoding
from napari_wildseg.engine.models.base import CLIPModel

SHARPNESS = 2.0
"""Softmax weight of one standard deviation of the relevance of all names at all places."""

BEST_PLACES = 0.02
"""Share of the image on which a name's evidence is averaged."""

SAME = 0.85
"""Text similarity from which two names count as one; the better scored is kept."""

_MAX_CELLS = 8_000_000
"""Names times places that are looked at together."""


def tag(
    encoding: ImageEncoding,
    model: CLIPModel,
    names: Sequence[str],
    background: Sequence[str],
) -> list[tuple[str, float]]:
    """Score every name of a vocabulary.

    Parameters
    ----------
    encoding : ImageEncoding
        The encoded image; no forward pass is run.
    model : CLIPModel
        The model that made it.
    names : sequence of str
        The vocabulary.
    background : sequence of str
        Words that compete but are not suggested; those in the vocabulary are left out.

    Returns
    -------
    list of (str, float)
        All names with a score in [0, 1], best first. Near-duplicates of a better name are left
        out.
    """
    taken = {name.casefold() for name in names}
    others = [word for word in background if word.casefold() not in taken]
    text = model.encode_text([*names, *others])
    side = max(2, int((_MAX_CELLS / len(text)) ** 0.5))
    grid = (min(encoding.grid[0], side), min(encoding.grid[1], side))
    maps = encoding.relevance(model, text, text[:0], grid=grid).flatten(1)
    logits = (maps - maps.mean()) * (SHARPNESS / maps.std().clamp(min=1e-6))
    chances = logits.softmax(0)[: len(names)]
    count = max(1, round(BEST_PLACES * chances.shape[1]))
    scores = chances.topk(count, dim=1).values.mean(1)
    order = scores.argsort(descending=True, stable=True)
    return [(names[i], float(scores[i])) for i in _distinct(order, text[: len(names)].cpu())]


def _distinct(order: Tensor, text: Tensor, enough: int = 500) -> list[int]:
    """Leave out what nearly repeats a better name, among the first `enough`."""
    kept: list[int] = []
    for position, index in enumerate(order.tolist()):
        if position < enough and kept and float((text[kept] @ text[index]).max()) > SAME:
            continue
        kept.append(index)
    return kept
