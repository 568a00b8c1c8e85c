"""Dense relevance: SCLIP's attention in ClearCLIP's architecture; patch tokens are scored singly.

The last block of a CLIP tower collects information for the class token rather than the content of
each patch. Its attention is therefore replaced by ``softmax(q q^T) + softmax(k k^T)``, by which a
patch attends to similar patches. The residual connection and the feed-forward layer are dropped.
Each token is then read out like the class token. Sources:

* F. Wang, J. Mei and A. Yuille, *SCLIP*, ECCV 2024, arXiv 2312.01597: q-q + k-k attention;
* M. Lan et al., *ClearCLIP*, ECCV 2024, arXiv 2407.12442: no residual, no feed-forward layer (with
  q-q attention).

Related: W. Bousselham et al., *Grounding Everything (GEM)*, CVPR 2024, arXiv 2312.00878, iterates
such attention over normalised queries, keys and values in several layers.

The patch embeddings depend on the image alone, so a class costs one product with its text vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.tower import Block, attend, attention, fits_in_memory
from napari_wildseg.engine.relevance.vit import VitMethod, forward, require_tower

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel


@dataclass(frozen=True)
class DenseRelevance(VitMethod):
    """Cosine, or probability among competing texts, of every patch embedding."""

    # Interpolation of the position embeddings; SCLIP and ClearCLIP use bicubic.
    positions: str = "bilinear"

    @property
    def name(self) -> str:
        """Name of the method, as users give it."""
        return "dense"

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower; see `RelevanceMethod.encode`.

        Kept per view: ``patches``, the unit patch embeddings ``(D, h, w)``.
        """
        tower = require_tower(model)
        kept: list[Tensor] = []

        def step(i: int, block: Block, x: Tensor, rope: Tensor | None) -> Tensor | None:
            if i < len(tower.blocks) - 1:
                return None
            q, k, v = block.qkv(x, rope)
            # q includes the scale of q k^T; k k^T needs it on one side
            scale = v.shape[-1] ** -0.5
            if fits_in_memory(q, k):
                weights = attention(q / scale, q) + attention(k * scale, k)
                kept.append(block.branch(weights @ v))
            else:
                kept.append(block.branch(attend(q / scale, q, v) + attend(k * scale, k, v)))
            if tower.pooling == "token":
                x, q = x[:, :1], q[..., :1, :]
            return block.finish(x, attend(q, k, v))

        end = forward(model, tower, pixels, step, self.positions)
        patches = F.normalize(tower.head_each(kept[0][:, tower.prefix :]).float(), dim=-1)
        pictures = patches.transpose(1, 2).reshape(len(patches), -1, *end.grid)
        return end.encodings(tower, {"patches": pictures})

    @torch.no_grad()
    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one relevance map per class; see `RelevanceMethod.relevance`.

        With two or more texts (including the background) the map is the probability of the class,
        ``softmax(logit_scale * cosine)``; with one text it is the cosine.
        """
        cosines = torch.einsum(
            "kd,dhw->khw", torch.cat([text, background]), encoding.tensors["patches"]
        )
        if len(cosines) > 1:
            cosines = (cosines * model.logit_scale).softmax(0)
        return cosines[: len(text)]
