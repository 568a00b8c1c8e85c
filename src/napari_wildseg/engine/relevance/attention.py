"""Attention relevance of a vision transformer (Chefer et al., generic attention explainability).

H. Chefer, S. Gur and L. Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal
and Encoder-Decoder Transformers*, ICCV 2021, arXiv 2103.15679. For class k with score
``s_k = scale * cos(image, text_k)``, the model's logit, and layers i from ``start_layer`` upward::

    cam_i = mean over heads of relu(ds_k/dA_i * A_i)
    R = I;  R = R + cam_i @ R
    relevance_k = (row of R that is read out) at the patches

The result is exact, but computed at lower cost:

* Only one row of R is needed: the class token's row, the mean of the patches' rows if the tower
  averages, or the query's row if it pools by attention. This row vector is propagated downward
  through the layers instead of multiplying N x N matrices.
* In the layer that feeds a class token (or the pooling query) only that token's row of A has a
  gradient. The default, the last layer alone, therefore costs one small matrix product per class:
  ``relevance_k[j] = mean_h relu(A[h, j] * <ds_k/do_h, v_hj>)``, where o is the heads' output.
* Deeper layers take one downward pass, in which all classes share the forward quantities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.tower import Block, Tower, attention
from napari_wildseg.engine.relevance.vit import (
    VitMethod,
    class_chunk,
    cosine_gradient,
    forward,
    require_tower,
    vector_jacobian,
)

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel


@dataclass(frozen=True)
class AttentionRelevance(VitMethod):
    """Relevance from gradients of attention weights."""

    # First layer that contributes, as a Python index: 0 the lowest, -1 (default) the last.
    # Attention pooling, if the tower has it, counts as the last layer.
    start_layer: int = -1
    positions: str = "bilinear"  # interpolation of the position embeddings

    @property
    def name(self) -> str:
        """Name of the method, as users give it."""
        return "attention"

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower; see `RelevanceMethod.encode`.

        Kept per view: attention weights and values of the readout (``weights``, ``values``); the
        last block's input (``stream``); its output (``end``) if the tower averages or pools by
        attention; and the input of each other layer i from ``start_layer`` on (``x<i>``).
        """
        tower = require_tower(model)
        start = self._start(tower)
        kept: dict[str, Tensor] = {}

        def step(i: int, block: Block, x: Tensor, rope: Tensor | None) -> Tensor | None:
            last = i == len(tower.blocks) - 1
            if last:
                kept["stream"] = x
            elif i >= start:
                kept[f"x{i}"] = x
            if not (last and tower.pooling == "token"):
                return None
            q, k, v = block.qkv(x, rope)
            weights = attention(q[..., :1, :], k)
            kept.update(weights=weights, values=v)
            return block.finish(x[:, :1], weights @ v)

        end = forward(model, tower, pixels, step, self.positions)
        if tower.pool is not None:
            k, v = tower.pool.keys_values(end.last)
            kept.update(weights=attention(tower.pool.query, k), values=v)
            if start < len(tower.blocks):
                kept["end"] = end.last
        elif tower.pooling == "average":
            kept["end"] = end.last
        kept["grid"] = torch.tensor(end.grid).expand(len(pixels), -1)
        return end.encodings(tower, kept)

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one relevance map per class; the background is not used."""
        tower = require_tower(model)
        start = self._start(tower)
        grid = (int(encoding.tensors["grid"][0]), int(encoding.tensors["grid"][1]))
        chunk = max(1, len(text))
        if start < _layers(tower) - 1 or tower.pooling == "average":
            chunk = class_chunk(tower.blocks[0].heads, grid[0] * grid[1] + tower.prefix)
        # Across several layers the map depends on the size of the score, so the logit is used, as
        # in the authors' code. For the last layer alone it is a constant factor.
        scale = model.logit_scale if start < _layers(tower) - 1 else 1.0
        rows = [
            _propagate_row(
                tower, encoding.tensors, text[i : i + chunk], start, tower.rope(grid), scale
            )
            for i in range(0, len(text), chunk)
        ]
        patches = grid[0] * grid[1]
        rows.append(text.new_zeros(0, patches))
        return torch.cat([row[:, -patches:] for row in rows]).reshape(-1, *grid)

    def _start(self, tower: Tower) -> int:
        """Return the index of the first layer, counted from 0."""
        layers = _layers(tower)
        if not -layers <= self.start_layer < layers:
            raise InputError(
                f"start_layer is {self.start_layer}, but this image tower has {layers} layers."
            )
        return self.start_layer % layers


def _layers(tower: Tower) -> int:
    """Return the number of attention layers, including attention pooling."""
    return len(tower.blocks) + (tower.pool is not None)


def _propagate_row(
    tower: Tower,
    saved: dict[str, Tensor],
    text: Tensor,
    start: int,
    rope: Tensor | None,
    scale: float,
) -> Tensor:
    """Propagate the readout's row of R, and the gradients, from the top down to layer ``start``.

    `scale`: factor of the cosine in the score. Returns ``(K, N)``, the row over all tokens.
    """
    if tower.pooling == "average":
        row, grad = _average_readout(tower, saved["end"], text, scale)
        below = len(tower.blocks) - 1
    else:
        below = len(tower.blocks) - (1 if tower.pooling == "token" else 0) - 1
        read = _token_readout if tower.pooling == "token" else _map_readout
        row, grad = read(tower, saved, text, rope, below >= start, scale)
    for i in range(below, start - 1, -1):
        x = saved["stream" if i == len(tower.blocks) - 1 else f"x{i}"]
        row, grad = _layer(tower.blocks[i], x, rope, row, grad, i > start)
    return row


def _average_readout(
    tower: Tower, last: Tensor, text: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the row of R and ds_k/d(last) for a tower that averages its patch tokens."""
    row = last.new_full((len(text), len(last)), 1 / (len(last) - tower.prefix))
    row[:, : tower.prefix] = 0
    with torch.enable_grad():
        leaf = last.detach().requires_grad_()
        embedding = tower.head(leaf[None])[0]
    (grad,) = vector_jacobian((embedding,), (leaf,), (_cotangents(embedding, text, scale),))
    return row, grad


def _token_readout(
    tower: Tower,
    saved: dict[str, Tensor],
    text: Tensor,
    rope: Tensor | None,
    deeper: bool,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the class token's row of R after the last block, and ds_k/d(block input)."""
    block, weights, values = tower.blocks[-1], saved["weights"], saved["values"]
    with torch.enable_grad():
        stream = saved["stream"][:1].detach().requires_grad_()
        out = (weights @ values).detach().requires_grad_()
        embedding = tower.head(block.finish(stream, out)[None])[0]
    grad_stream, grad_out = vector_jacobian(
        (embedding,), (stream, out), (_cotangents(embedding, text, scale),)
    )
    by_weights = grad_out @ values.transpose(-1, -2)
    row = (weights * by_weights).relu().mean(1)[:, 0]
    row[:, 0] += 1
    if not deeper:
        return row, grad_stream
    with torch.enable_grad():
        x = saved["stream"].detach().requires_grad_()
        q, k, v = block.qkv(x, rope)
        q = q[:, :1]
    by_logits = _through_softmax(weights, by_weights)
    (grad,) = vector_jacobian(
        (q, k, v),
        (x,),
        (by_logits @ k, by_logits.transpose(-1, -2) @ q, weights.transpose(-1, -2) @ grad_out),
    )
    grad[:, :1] += grad_stream
    return row, grad


def _map_readout(
    tower: Tower,
    saved: dict[str, Tensor],
    text: Tensor,
    rope: Tensor | None,
    deeper: bool,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the pooling query's row of R over the tokens, and ds_k/d(last)."""
    pool, weights, values = tower.pool, saved["weights"], saved["values"]
    assert pool is not None
    with torch.enable_grad():
        out = (weights @ values).detach().requires_grad_()
        embedding = pool.finish(out)
    (grad_out,) = vector_jacobian((embedding,), (out,), (_cotangents(embedding, text, scale),))
    by_weights = grad_out @ values.transpose(-1, -2)
    row = (weights * by_weights).relu().mean(1)[:, 0]
    if not deeper:
        return row, row
    with torch.enable_grad():
        x = saved["end"].detach().requires_grad_()
        k, v = pool.keys_values(x)
    by_logits = _through_softmax(weights, by_weights)
    (grad,) = vector_jacobian(
        (k, v),
        (x,),
        (by_logits.transpose(-1, -2) @ pool.query, weights.transpose(-1, -2) @ grad_out),
    )
    return torch.nn.functional.pad(row, (len(x) - row.shape[1], 0)), grad


def _layer(
    block: Block, x: Tensor, rope: Tensor | None, row: Tensor, grad: Tensor, deeper: bool
) -> tuple[Tensor, Tensor]:
    """Propagate row and gradient through one block.

    `x`: ``(N, C)``, the block's input; `row`: ``(K, N)``, the row of R above the block; `grad`:
    ``(K, N, C)``, ds_k/d(block output).
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        q, k, v = block.qkv(leaf, rope)
    weights, values = attention(q, k).detach(), v.detach()
    with torch.enable_grad():
        stream = x.detach().requires_grad_()
        out = (weights @ values).requires_grad_()
        end = block.finish(stream, out)
    grad_stream, grad_out = vector_jacobian((end,), (stream, out), (grad,))
    by_weights = grad_out @ values.transpose(-1, -2)
    row = row + (row[:, None] @ (weights * by_weights).relu().mean(1))[:, 0]
    if not deeper:
        return row, grad
    by_logits = _through_softmax(weights, by_weights)
    (grad_x,) = vector_jacobian(
        (q, k, v),
        (leaf,),
        (
            by_logits @ k.detach(),
            by_logits.transpose(-1, -2) @ q.detach(),
            weights.transpose(-1, -2) @ grad_out,
        ),
    )
    return row, grad_stream + grad_x


def _cotangents(embedding: Tensor, text: Tensor, scale: float) -> Tensor:
    """Return ds_k/d(embedding), ``(K, D)``."""
    return cosine_gradient(embedding.detach(), text) * scale


def _through_softmax(weights: Tensor, by_weights: Tensor) -> Tensor:
    """Convert the gradient by attention weights to the gradient by logits."""
    return weights * (by_weights - (weights * by_weights).sum(-1, keepdim=True))
