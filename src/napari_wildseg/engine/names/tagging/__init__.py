"""Image-level labels: which names of a vocabulary are in the image.

After TagCLIP (Lin et al., AAAI 2024): the evidence is local, then looked at again. See `places`
for what is seen at each place, `scores` for how names compete, `again` for the second look at
vision transformers' encodings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.classes import fold
from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging.places import place_embeddings
from napari_wildseg.engine.names.tagging.rescore_regions import second_look
from napari_wildseg.engine.names.tagging.scores import (
    BEST_PLACES,
    best,
    scores_at,
    similarity,
    usual_cosine,
)
from napari_wildseg.engine.names.text_cache import list_rows
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.relevance.hyponyms import reach

DUPLICATE, RELATED, TOGETHER = 0.85, 0.5, 0.7
"""Text similarity from which two names are one; from which they are one if that share of their
best places is the same. The better scored is kept."""

CANDIDATES = 200
"""Names of a long vocabulary that are looked at closely."""


def everyday_rivals(background: Sequence[str]) -> tuple[str, ...]:
    """Return the names that every name competes with: COCO's everyday things, and these words."""
    return tuple(dict.fromkeys((*load_vocabulary("coco"), *background)))


@torch.no_grad()
def tag(
    encoding: ImageEncoding,
    model: CLIPModel,
    names: Sequence[str],
    rivals: Sequence[str],
    *,
    merge_duplicates: bool = True,
) -> list[tuple[str, float]]:
    """Score the names of a vocabulary."""
    text = list_rows(model, names).cpu()
    picture = place_embeddings(encoding, model)
    places = picture.flatten(1)
    chosen = _candidates(text, places, model)
    rows = text[chosen]
    taken = {fold(names[i]) for i in chosen.tolist()}
    others = model.encode_text([word for word in rivals if fold(word) not in taken] or list(rivals))
    others = torch.cat([others.cpu(), rows[:_RIVAL_CANDIDATES]])
    shares = scores_at(places, rows, others, model)
    scores = best(shares)
    if model.concepts is None:
        scores = second_look(encoding, model, picture, shares, rows, others, scores)
    order = scores.argsort(descending=True, stable=True)
    if merge_duplicates:
        order = order[distinct(rows[order], shares[order], usual_cosine(others))]
    return [(names[int(chosen[i])], float(scores[i])) for i in order.tolist()]


_RIVAL_CANDIDATES = 100
"""The vocabulary's own best names compete as well, up to this number."""


def _candidates(text: Tensor, places: Tensor, model: CLIPModel) -> Tensor:
    """Indices of the names with the strongest answer anywhere, strongest first."""
    coarse = places
    if len(text) > CANDIDATES:  # neighbours together: a quarter of the products
        coarse = F.avg_pool1d(places[None], 4, ceil_mode=True)[0]
    strongest = (text @ coarse).amax(1)
    if model.concepts is not None:
        strongest = strongest / reach(text, model.concepts).sqrt()
    return strongest.argsort(descending=True, stable=True)[:CANDIDATES]


@torch.no_grad()
def tag_whole(
    encoding: ImageEncoding, model: CLIPModel, names: Sequence[str]
) -> list[tuple[str, float]]:
    """Score names by the whole image at once, the plain way that `tag` is measured against."""
    cosines = list_rows(model, names).cpu() @ encoding.encodings[0].embedding.float().cpu()
    order = cosines.argsort(descending=True, stable=True)
    return [(names[i], float(cosines[i])) for i in order.tolist()]


def distinct(rows: Tensor, shares: Tensor, usual: float) -> list[int]:
    """Return the positions of names that do not nearly repeat a better one.

    `rows`: ``(K, D)`` text rows, the best name first; `shares`: ``(K, N)``, what each has at each
    place.
    """
    alike = similarity(rows, rows, usual)
    count = max(1, round(BEST_PLACES * shares.shape[1]))
    where = torch.zeros_like(shares).scatter_(1, shares.topk(count, dim=1).indices, 1.0)
    together = where @ where.T / count
    repeats = (alike > DUPLICATE) | ((alike > RELATED) & (together > TOGETHER))
    kept: list[int] = []
    for position in range(len(rows)):
        if not bool(repeats[position, kept].any()):
            kept.append(position)
    return kept
