"""CLIP-ES: Grad-CAM of competing classes, spread along the tower's own attention.

Y. Lin et al., *CLIP is Also an Efficient Segmenter: A Text-Driven Approach for Weakly Supervised
Semantic Segmentation*, CVPR 2023, arXiv 2212.09506. Steps:

1. the image feature is the mean of the patch tokens, read out as the class token would be; p is
   the softmax of ``logit_scale * cosine`` over the classes and the background words, which makes
   the classes compete;
2. Grad-CAM at F, the output of the last block's first normalisation:
   ``w_k = spatial mean of dp_k/dF``, ``CAM_k = relu(sum_c w_kc F_c)``, scaled to [0, 1];
3. class-aware affinity: the mean attention between patches in the last 8 layers, columns and rows
   normalised in turn (3 rounds), made symmetric, squared; its columns are masked to boxes around
   CAM_k >= 0.4; the map is ``A @ CAM_k``.

The spatial mean of the gradient is the gradient by one vector that is added to F at every patch,
so all token-wise sums happen before the products with the weights. The affinity depends on the
image alone and is kept. Step 2 needs the direction of the gradient only, since CAM_k is scaled;
the direction is computed without the factor ``p_k (1 - p_k)``, which vanishes in float32 where a
class is certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.vit import (
    Block,
    Tower,
    attention,
    class_chunk,
    cosine_gradient,
    forward,
    require_tower,
    vector_jacobian,
    vit_tower,
)

if TYPE_CHECKING:
    from napari_wildseg.engine.models.base import CLIPModel


@dataclass(frozen=True)
class ClipESRelevance:
    """Softmax Grad-CAM with class-aware attention affinity.

    Attributes
    ----------
    layers : int
        Last layers whose attention makes the affinity.
    box_threshold : float
        CAM value, in [0, 1], above which a place is boxed.
    """

    layers: int = 8
    box_threshold: float = 0.4

    @property
    def name(self) -> str:
        """The name users choose it by."""
        return "clip-es"

    def supports(self, model: CLIPModel) -> str | None:
        """Return None for a vision transformer, else one sentence."""
        tower = vit_tower(model)
        if isinstance(tower, str):
            return f'The relevance method "clip-es" does not work with "{model.name}": {tower}'
        return None

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower once; see `RelevanceMethod.encode`.

        Kept, per view: ``stream``, the last block's input ``(N, C)``, and ``affinity``,
        ``(n, n)`` over the patches.
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
            weights = attention(q, k)
            mean = weights[..., tower.prefix :, tower.prefix :].mean(1)
            attentions[:] = [mean if not attentions else attentions[0] + mean]
            if last and tower.pooling == "token":
                x, weights = x[:, :1], weights[..., :1, :]
            return block.finish(x, weights @ v)

        end = forward(tower, pixels.to(model.device), step)
        affinity = balanced_affinity(attentions[0])
        return [
            ViewEncoding(
                tensors={
                    "stream": streams[0][b].clone(),
                    "affinity": affinity[b].clone(),
                    "grid": torch.tensor(end.grid),
                },
                features=end.features(tower, b),
                embedding=end.embedding[b].clone(),
            )
            for b in range(len(pixels))
        ]

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one map a class; see `RelevanceMethod.relevance`."""
        tower = require_tower(model)
        grid = (int(encoding.tensors["grid"][0]), int(encoding.tensors["grid"][1]))
        cams = _grad_cams(
            tower,
            encoding.tensors["stream"],
            tower.rope(grid),
            torch.cat([text, background]),
            len(text),
            model.logit_scale,
        )
        masked = cams * self._boxes(cams.reshape(-1, *grid)).flatten(1)
        return (masked @ encoding.tensors["affinity"].T).reshape(-1, *grid)

    def _boxes(self, cams: Tensor) -> Tensor:
        """Boxes around the places above the threshold: ``(K, h, w)`` of 0 and 1."""
        boxes = np.zeros(cams.shape, np.float32)
        for cam, box in zip(cams.cpu().numpy(), boxes, strict=True):
            regions, _ = ndimage.label(cam >= self.box_threshold, np.ones((3, 3)))
            for place in ndimage.find_objects(regions):
                box[place] = 1
        return torch.from_numpy(boxes).to(cams.device)


def balanced_affinity(attentions: Tensor) -> Tensor:
    """Turn mean attention ``(..., n, n)`` into the symmetric, squared affinity of CLIP-ES."""
    affinity = attentions
    for _ in range(3):
        affinity = affinity / affinity.sum(-2, keepdim=True)
        affinity = affinity / affinity.sum(-1, keepdim=True)
    affinity = (affinity + affinity.transpose(-1, -2)) / 2
    return affinity @ affinity


def competing_gradients(embedding: Tensor, texts: Tensor, classes: int, scale: float) -> Tensor:
    """Directions of dp_k/d(embedding), p being the softmax over all texts.

    Parameters
    ----------
    embedding : torch.Tensor
        ``(D,)``, not normalised.
    texts : torch.Tensor
        ``(T, D)`` unit rows, the classes first.
    classes : int
        K, how many directions are wanted.
    scale : float
        Factor of the cosines in the softmax.

    Returns
    -------
    torch.Tensor
        ``(K, D)``, positive multiples of the gradients. ``dp_k = p_k (1 - p_k) (ds_k - sum over
        the others of p_l / (1 - p_k) ds_l)``, without the factors before the bracket; with a
        single text, of the gradient of its cosine.
    """
    logits = scale * (texts @ (embedding / embedding.norm()))
    direction = texts[:classes]
    if len(texts) > 1:
        rivals = logits.expand(classes, -1).clone()
        rivals.fill_diagonal_(-torch.inf)
        direction = direction - rivals.softmax(-1) @ texts
    return cosine_gradient(embedding, direction)


def _grad_cams(
    tower: Tower, x: Tensor, rope: Tensor | None, texts: Tensor, classes: int, scale: float
) -> Tensor:
    """Grad-CAMs ``(K, n)`` in [0, 1] over the patches, from the last block's input ``(N, C)``."""
    block = tower.blocks[-1]
    local = block.norm(x)
    patches = local[tower.prefix :]
    mask = torch.ones(len(x), 1, device=x.device)
    mask[: tower.prefix] = 0
    chunk = class_chunk(block.heads, len(x))
    cams = []
    for i in range(0, classes, chunk):
        with torch.enable_grad():
            shift = torch.zeros(x.shape[-1], device=x.device, requires_grad=True)
            shifted = block.project(local) + mask * (
                block.project(shift) - block.project(torch.zeros_like(shift))
            )
            q, k, v = block.split(shifted, rope)
            end = block.finish(x, attention(q, k) @ v)
            if tower.pooling == "token":
                embedding = tower.head_each(end[tower.prefix :]).mean(0)
            else:
                embedding = tower.head(end[None])[0]
        gradients = competing_gradients(embedding.detach(), texts, classes, scale)[i : i + chunk]
        (weights,) = vector_jacobian((embedding,), (shift,), (gradients,))
        cams.append((weights @ patches.T).relu())
    cam = torch.cat(cams) if cams else x.new_zeros(0, len(patches))
    cam = cam - cam.amin(1, keepdim=True)
    return cam / cam.amax(1, keepdim=True).clamp_min(torch.finfo(cam.dtype).tiny)
