"""CLIP-ES: Grad-CAM with competing classes, refined by the tower's attention.

Y. Lin et al., *CLIP is Also an Efficient Segmenter: A Text-Driven Approach for Weakly Supervised
Semantic Segmentation*, CVPR 2023, arXiv 2212.09506. Steps:

1. The image feature is the mean of the patch tokens, each read out like the class token; p is the
   softmax of ``logit_scale * cosine`` over the classes and the background words, so that the
   classes compete.
2. Grad-CAM at F, the output of the last block's first normalisation:
   ``w_k = spatial mean of dp_k/dF``, ``CAM_k = relu(sum_c w_kc F_c)``, scaled to [0, 1].
3. Class-aware affinity: the mean attention between patches in the last 8 layers, with columns and
   rows normalised alternately (3 rounds), symmetrised and squared. Its columns are masked to boxes
   around CAM_k >= 0.4; the map is ``A @ CAM_k``.

The spatial mean of the gradient equals the gradient by one vector that is added to F at every
patch, so all sums over tokens precede the products with the weights. The affinity depends on the
image alone and is kept. Step 2 needs only the direction of the gradient, since CAM_k is scaled. It
is computed without the factor ``p_k (1 - p_k)``, which underflows in float32 for a certain class.
The direction is a sum over the gradients of the texts' cosines, which are cached per text: adding
or renaming a class costs one gradient.

Attention weights are computed in blocks of at most `tower.MAX_WEIGHTS`, whatever the view's size.
The affinity kept per view takes 4 bytes per pair of patches.

One difference from the authors' code is deliberate: their boxes omit the last row and column of
the region (``map[y0:y1, x0:x1]`` with inclusive corners); here they are included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.tower import Block, Tower, attend, read_attention
from napari_wildseg.engine.relevance.vit import VitMethod, cosine_gradient, forward, require_tower

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel

_MAX_MEMO = 256
"""Maximum number of texts per view whose gradients are cached."""


@dataclass(frozen=True)
class ClipESRelevance(VitMethod):
    """Softmax Grad-CAM with class-aware attention affinity."""

    layers: int = 8  # number of last layers whose attention makes up the affinity
    box_threshold: float = 0.4  # CAM value, in [0, 1], from which a region gets a box
    positions: str = "bilinear"  # interpolation of the position embeddings

    @property
    def name(self) -> str:
        """Name of the method, as users give it."""
        return "clip-es"

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower; see `RelevanceMethod.encode`.

        Kept per view: the last block's input (``stream``, ``(N, C)``) and the affinity of the
        patches (``affinity``, ``(n, n)``).
        """
        tower = require_tower(model)
        first = max(0, len(tower.blocks) - self.layers)
        attentions: list[Tensor] = []
        streams: list[Tensor] = []

        def step(i: int, block: Block, x: Tensor, rope: Tensor | None) -> Tensor | None:
            last = i == len(tower.blocks) - 1
            if last:
                streams.append(x)
            if i < first:
                return None
            q, k, v = block.qkv(x, rope)
            first_only = last and tower.pooling == "token"
            mean, out = read_attention(q, k, v, prefix=tower.prefix, first_only=first_only)
            attentions[:] = [mean if not attentions else attentions[0] + mean]
            return block.finish(x[:, :1] if first_only else x, out)

        end = forward(model, tower, pixels, step, self.positions)
        affinity = _balanced_affinity(attentions[0])
        grid = torch.tensor(end.grid).expand(len(pixels), -1)
        tensors = {"stream": streams[0], "affinity": affinity, "grid": grid}
        return end.encodings(tower, tensors)

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one relevance map per class; see `RelevanceMethod.relevance`."""
        tower = require_tower(model)
        grid = (int(encoding.tensors["grid"][0]), int(encoding.tensors["grid"][1]))
        cams = _grad_cams(tower, encoding, tower.rope(grid), text, background, model.logit_scale)
        masked = cams * self._boxes(cams.reshape(-1, *grid)).flatten(1)
        return (masked @ encoding.tensors["affinity"].T).reshape(-1, *grid)

    def _boxes(self, cams: Tensor) -> Tensor:
        """Return boxes around the regions above the threshold: ``(K, h, w)`` of 0 and 1."""
        boxes = np.zeros(cams.shape, np.float32)
        for cam, box in zip(cams.cpu().numpy(), boxes, strict=True):
            regions, _ = ndimage.label(cam >= self.box_threshold, np.ones((3, 3)))
            for place in ndimage.find_objects(regions):
                box[place] = 1
        return torch.from_numpy(boxes).to(cams.device)


def _balanced_affinity(attentions: Tensor) -> Tensor:
    """Convert mean attention ``(..., n, n)`` to CLIP-ES's symmetric, squared affinity."""
    affinity = attentions
    for _ in range(3):
        affinity = affinity / affinity.sum(-2, keepdim=True)
        affinity = affinity / affinity.sum(-1, keepdim=True)
    affinity = (affinity + affinity.transpose(-1, -2)) / 2
    return affinity @ affinity


def _grad_cams(
    tower: Tower,
    encoding: ViewEncoding,
    rope: Tensor | None,
    text: Tensor,
    background: Tensor,
    scale: float,
) -> Tensor:
    """Return Grad-CAMs ``(K, n)`` in [0, 1] over the patches.

    ``dp_k = p_k (1 - p_k) (ds_k - sum over l != k of p_l / (1 - p_k) ds_l)``, where s are the
    cosines; the factor before the bracket is omitted. Each ``ds_l`` is computed once per text. The
    background words enter as one gradient: their relative weights do not depend on k.
    """
    last = _LastBlock(tower, encoding.tensors["stream"], rope)
    rows, logits = text, scale * (text @ last.unit)
    if len(background):
        against = scale * (background @ last.unit)
        rows = torch.cat([rows, (against.softmax(0) @ background)[None]])
        logits = torch.cat([logits, against.logsumexp(0)[None]])
    weights = _cosine_weights(last, encoding.memo, rows)
    if len(rows) > 1:
        rivals = logits.expand(len(text), -1).clone()
        rivals.fill_diagonal_(-torch.inf)
        weights = weights[: len(text)] - rivals.softmax(-1) @ weights
    weights = weights[: len(text)]
    cam = (weights @ last.local[tower.prefix :].T).relu()
    cam = cam - cam.amin(1, keepdim=True)
    return cam / cam.amax(1, keepdim=True).clamp_min(torch.finfo(cam.dtype).tiny)


class _LastBlock:
    """The last block, differentiable by one vector that is added at every patch.

    Attributes
    ----------
    local : torch.Tensor
        ``(N, C)``, output of the block's first normalisation.
    shift : torch.Tensor
        ``(C,)`` zeros, the added vector.
    embedding : torch.Tensor
        ``(D,)``, the image feature, in the graph of `shift`.
    unit : torch.Tensor
        `embedding` with unit length, detached.
    """

    def __init__(self, tower: Tower, x: Tensor, rope: Tensor | None) -> None:
        block = tower.blocks[-1]
        with torch.no_grad():
            self.local = block.norm(x)
        mask = torch.ones(len(x), 1, device=x.device)
        mask[: tower.prefix] = 0
        with torch.enable_grad():
            self.shift = torch.zeros(x.shape[-1], device=x.device, requires_grad=True)
            shifted = block.project(self.local) + mask * (
                block.project(self.shift) - block.project(torch.zeros_like(self.shift))
            )
            q, k, v = block.split(shifted, rope)
            end = block.finish(x, attend(q, k, v))
            if tower.pooling == "token":
                self.embedding = tower.head_each(end[tower.prefix :]).mean(0)
            else:
                self.embedding = tower.head(end[None])[0]
        self.unit = F.normalize(self.embedding.detach(), dim=0)


def _cosine_weights(last: _LastBlock, memo: dict[bytes, Tensor], rows: Tensor) -> Tensor:
    """Return the gradients of the cosines by the shift: ``(T, D) -> (T, C)``.

    They depend only on the text row and the view and are cached in `memo`. They are computed one
    at a time: this is as fast as a batch, and no gradient depends on its neighbours by rounding.
    """
    keys = [row.tobytes() for row in rows.detach().cpu().numpy()]
    if len(memo) + len(keys) > _MAX_MEMO:
        memo.clear()
    for key, row in zip(keys, rows, strict=True):
        if key not in memo:
            (cotangent,) = cosine_gradient(last.embedding.detach(), row[None])
            (memo[key],) = torch.autograd.grad(
                last.embedding, last.shift, cotangent, retain_graph=True
            )
    held = [memo[key] for key in keys]
    return torch.stack(held) if held else rows.new_zeros(0, len(last.shift))
