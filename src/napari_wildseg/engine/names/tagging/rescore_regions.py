"""Second score of the best names, each from its own region.

TagCLIP crops the region of each candidate and runs the tower on the crop. Here the class token of
the last block attends only to the tokens of the region, in the existing encoding, which needs no
forward pass. Towers without a class token average the region's local embeddings.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.images.views import View
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging.scores import local_shares
from napari_wildseg.engine.relevance import ViewEncoding

_MAX_RESCORED = 12
"""Number of best names that are scored again."""

_REGION_FRACTION = 0.5
"""A name's region: positions with at least this fraction of its highest share."""


@torch.no_grad()
def rescore(
    encoding: ImageEncoding,
    model: CLIPModel,
    places: Tensor,
    shares: Tensor,
    text: Tensor,
    rivals: Tensor,
    scores: Tensor,
) -> Tensor:
    """Average the best names' scores with the scores of their regions.

    `places`: ``(D, h, w)``; `shares`: ``(K, h * w)``, each name's share at each position; `text`,
    `rivals`: ``(K, D)`` and ``(R, D)`` unit rows; `scores`: ``(K,)``, the first scores. Returns
    ``(K,)`` in [0, 1].
    """
    chosen = scores.argsort(descending=True, stable=True)[:_MAX_RESCORED]
    regions = shares[chosen] >= _REGION_FRACTION * shares[chosen].amax(1, keepdim=True)
    seen = read_regions(encoding, model, places, regions.reshape(-1, *places.shape[1:]))
    again = torch.zeros_like(scores)
    for row, index in zip(seen, chosen, strict=True):
        one = local_shares(row[:, None], text[index][None], rivals, model)
        again[index] = one[0, 0]
    return (scores + again) / 2


def read_regions(
    encoding: ImageEncoding, model: CLIPModel, places: Tensor, regions: Tensor
) -> Tensor:
    """Compute embeddings of regions.

    `regions`: ``(K, h, w)`` bool, none empty. Returns ``(K, D)`` float32 unit rows on the CPU.
    """
    inside = regions.flatten(1).float()
    mean = (inside @ places.flatten(1).T) / inside.sum(1, keepdim=True)
    if "stream" not in encoding.encodings[0].tensors:
        return F.normalize(mean, dim=-1)
    from napari_wildseg.engine.relevance.vit import require_tower

    if require_tower(model).pooling != "token":
        return F.normalize(mean, dim=-1)
    total = torch.zeros(len(regions), places.shape[0])
    for view, kept in zip(encoding.views, encoding.encodings, strict=True):
        grid = (int(kept.features[-1].shape[-2]), int(kept.features[-1].shape[-1]))
        there = _in_view(regions, view, encoding.shape, grid)
        visible = there.any(1)
        if bool(visible.any()):
            total[visible] += _read_with_token(model, kept, there[visible]).cpu()
    # A region smaller than a patch may contain no patch centre of any view.
    missed = total.abs().sum(1) == 0
    total[missed] = mean[missed]
    return F.normalize(total, dim=-1)


def _in_view(regions: Tensor, view: View, shape: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Return the patches of a view that lie in each region: ``(K, h * w)`` bool."""
    y = view.top + (torch.arange(grid[0]) + 0.5) / grid[0] * (view.bottom - view.top)
    across = (torch.arange(grid[1]) + 0.5) / grid[1]
    x = view.left + (1 - across if view.flip else across) * (view.right - view.left)
    rows = (y / shape[0] * regions.shape[1]).long().clamp(0, regions.shape[1] - 1)
    columns = (x / shape[1] * regions.shape[2]).long().clamp(0, regions.shape[2] - 1)
    return regions[:, rows][:, :, columns].flatten(1)


def _read_with_token(model: CLIPModel, kept: ViewEncoding, there: Tensor) -> Tensor:
    """Let the class token attend to itself and chosen patches only: ``(K, n) -> (K, D)``."""
    from napari_wildseg.engine.relevance.vit import require_tower

    tower = require_tower(model)
    block, stream = tower.blocks[-1], kept.tensors["stream"]
    grid = (int(kept.features[-1].shape[-2]), int(kept.features[-1].shape[-1]))
    query, keys, values = block.qkv(stream, tower.rope(grid))
    logits = query[..., :1, :] @ keys.transpose(-1, -2)  # (heads, 1, N)
    hidden = torch.zeros(len(there), stream.shape[0], dtype=torch.bool, device=stream.device)
    hidden[:, tower.prefix :] = ~there.to(stream.device)
    weights = logits[None].masked_fill(hidden[:, None, None], -torch.inf).softmax(-1)
    token = stream[:1].expand(len(there), 1, -1)
    ends = block.finish(token, weights @ values)
    # The head reads only the class token, so the patch tokens are arbitrary.
    padded = torch.cat([ends, stream[1:].expand(len(there), -1, -1)], dim=1)
    return F.normalize(tower.head(padded).float(), dim=-1)
