"""Local image embeddings that are comparable with text vectors.

A class score of the whole image misses small objects. Here each position is read out singly:

* a convolutional tower whose score is a spatial average (the starter): its features;
* another convolutional tower: its head, applied at each position;
* a vision transformer: the last block with values only, which keeps each token's own content, as
  in TagCLIP (Lin et al., *TagCLIP: A Local-to-Global Framework to Enhance Open-Vocabulary
  Multi-Label Classification of CLIP Without Training*, AAAI 2024, arXiv 2312.12828). TagCLIP's
  propagation of scores along attention made the results worse here (see docs) and is left out.

No forward pass is run: everything is computed from the encodings of the segmentation.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.images.grid import grid_of
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.relevance import ViewEncoding

_GRID_SIDE = 16
"""Geometric mean of the sides of the grid of local embeddings, in cells."""


@torch.no_grad()
def local_embeddings(encoding: ImageEncoding, model: CLIPModel) -> Tensor:
    """Compute local embeddings averaged over the views; cached in the encoding.

    Returns ``(D, h, w)`` float32 on the CPU; ``text @ embedding`` is the evidence for a text.
    """
    if encoding.local_embeddings is None:
        maps = (_view_embeddings(model, view) for view in encoding.encodings)
        encoding.local_embeddings = encoding.merged(maps, grid_of(encoding.shape, _GRID_SIDE))
    return encoding.local_embeddings


@torch.no_grad()
def embeddings_by_view(encoding: ImageEncoding, model: CLIPModel) -> list[Tensor]:
    """Compute local embeddings for each of `ImageEncoding.view_groups`; ``(D, h, w)`` each."""
    groups = encoding.view_groups()
    if len(groups) == 1:
        return [local_embeddings(encoding, model)]
    grid = grid_of(encoding.shape, _GRID_SIDE)
    found = []
    for group in groups:
        maps = (_view_embeddings(model, encoding.encodings[i]) for i in group)
        found.append(encoding.merged(maps, grid, group))
    return found


def _view_embeddings(model: CLIPModel, view: ViewEncoding) -> Tensor:
    """Compute the local embeddings of one view.

    Returns ``(D, h, w)`` float32; unit vectors, except for towers whose score is the mean of
    products with the features.
    """
    kept = view.tensors
    if "last" in kept:
        return _convolutional(model, kept["last"])
    if "patches" in kept:
        return kept["patches"]
    return _transformer(model, view)


def _convolutional(model: CLIPModel, last: Tensor) -> Tensor:
    from napari_wildseg.engine.relevance.cam import tower_head, tower_projection

    linear, plain = tower_projection(model)
    if plain:
        return last
    if linear is not None:
        return torch.einsum("dc,chw->dhw", linear, last)
    cells = last.flatten(1).T[:, :, None, None]
    return _picture(F.normalize(tower_head(model)(cells).float(), dim=-1), last.shape[-2:])


def _transformer(model: CLIPModel, view: ViewEncoding) -> Tensor:
    from napari_wildseg.engine.relevance.vit import require_tower

    tower = require_tower(model)
    grid = view.features[-1].shape[-2:]
    stream = view.tensors.get("stream")
    if stream is None:
        tokens = view.features[-1].flatten(1).T[None]
    else:
        block = tower.blocks[-1]
        _, _, values = block.qkv(stream[None], tower.rope((int(grid[0]), int(grid[1]))))
        tokens = block.finish(stream[None], values)[:, tower.prefix :]
    places = F.normalize(tower.head_each(tokens)[0].float(), dim=-1)
    return _picture(places, grid)


def _picture(rows: Tensor, grid: tuple[int, ...]) -> Tensor:
    return rows.T.reshape(rows.shape[1], *grid)
