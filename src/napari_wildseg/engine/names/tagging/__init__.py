"""Image-level tagging: which names of a vocabulary are in the image.

The method follows TagCLIP (Lin et al., AAAI 2024): local evidence, then a second score of each
name's region. `places` computes local embeddings, `scores` lets names compete, `rescore_regions`
scores regions again with the encodings of vision transformers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging.places import embeddings_by_view, local_embeddings
from napari_wildseg.engine.names.tagging.rescore_regions import rescore
from napari_wildseg.engine.names.tagging.scores import (
    BEST_PLACES,
    best,
    local_shares,
    mean_cosine,
    rivals_beside,
    similarity,
)
from napari_wildseg.engine.names.text_cache import list_rows
from napari_wildseg.engine.names.vocabularies import load_vocabulary
from napari_wildseg.engine.relevance.hyponyms import reach

_DUPLICATE, _RELATED, _SHARED_POSITIONS = 0.85, 0.5, 0.7
"""Text similarity from which two names are duplicates; text similarity, and shared fraction of
their best positions, from which they are also duplicates. The better scored name is kept."""

_MAX_CANDIDATES = 200
"""Number of names of a long vocabulary that are scored in detail."""


def everyday_rivals(background: Sequence[str]) -> tuple[str, ...]:
    """Return the rivals of every name: COCO's classes and the background words."""
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
    """Score names in an image; return them best first, with their shares.

    A name's share is the median of its shares in the groups of views: what only some of them show
    is rarely there.
    """
    text = list_rows(model, names).cpu()
    picture = local_embeddings(encoding, model)
    places = picture.flatten(1)
    chosen = _candidates(text, places, model)
    rows = text[chosen]
    others = model.encode_text(rivals_beside([names[i] for i in chosen.tolist()], rivals))
    others = torch.cat([others.cpu(), rows[:_RIVAL_CANDIDATES]])
    shares = local_shares(places, rows, others, model)
    scores = _median_shares(encoding, model, rows, others)
    if model.concepts is None:
        scores = rescore(encoding, model, picture, shares, rows, others, scores)
    if merge_duplicates:
        order = best(shares).argsort(descending=True, stable=True)
        kept = order[distinct(rows[order], shares[order], mean_cosine(others))]
    else:
        kept = torch.arange(len(rows))
    order = kept[scores[kept].argsort(descending=True, stable=True)]
    return [(names[int(chosen[i])], float(scores[i])) for i in order.tolist()]


def _median_shares(
    encoding: ImageEncoding, model: CLIPModel, rows: Tensor, rivals: Tensor
) -> Tensor:
    """Return the median over the groups of views of each name's best share: ``(K,)``."""
    each = [
        best(local_shares(places.flatten(1), rows, rivals, model))
        for places in embeddings_by_view(encoding, model)
    ]
    return torch.stack(each).quantile(0.5, dim=0)


_RIVAL_CANDIDATES = 100
"""Number of the vocabulary's best names that also compete as rivals."""


def _candidates(text: Tensor, places: Tensor, model: CLIPModel) -> Tensor:
    """Return the indices of the names with the strongest local evidence, strongest first."""
    coarse = places
    if len(text) > _MAX_CANDIDATES:  # average 4 neighbours, for a quarter of the products
        coarse = F.avg_pool1d(places[None], 4, ceil_mode=True)[0]
    strongest = (text @ coarse).amax(1)
    if model.concepts is not None:
        strongest = strongest / reach(text, model.concepts).sqrt()
    return strongest.argsort(descending=True, stable=True)[:_MAX_CANDIDATES]


@torch.no_grad()
def tag_whole(
    encoding: ImageEncoding, model: CLIPModel, names: Sequence[str]
) -> list[tuple[str, float]]:
    """Score names by the cosine with the global image embedding, as a baseline for `tag`."""
    cosines = list_rows(model, names).cpu() @ encoding.encodings[0].embedding.float().cpu()
    order = cosines.argsort(descending=True, stable=True)
    return [(names[i], float(cosines[i])) for i in order.tolist()]


def distinct(rows: Tensor, shares: Tensor, usual: float) -> list[int]:
    """Return the indices of the names that are no duplicates of a better one.

    `rows`: ``(K, D)`` text rows, best name first; `shares`: ``(K, N)``, their scores at each
    position.
    """
    alike = similarity(rows, rows, usual)
    count = max(1, round(BEST_PLACES * shares.shape[1]))
    where = torch.zeros_like(shares).scatter_(1, shares.topk(count, dim=1).indices, 1.0)
    together = where @ where.T / count
    repeats = (alike > _DUPLICATE) | ((alike > _RELATED) & (together > _SHARED_POSITIONS))
    kept: list[int] = []
    for position in range(len(rows)):
        if not bool(repeats[position, kept].any()):
            kept.append(position)
    return kept
