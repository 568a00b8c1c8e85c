"""Forward passes of vision transformers that keep what relevance methods need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.relevance.tower import Block, Grid, Tower
from napari_wildseg.engine.relevance.tower_open_clip import open_clip_tower
from napari_wildseg.engine.relevance.tower_timm import timm_tower

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel


_OTHER_KINDS = {
    "SwinTransformer": "attends within windows of the picture, so no token sees all of it",
    "VisionTransformerRelPos": "adds a position bias of one fixed size to its attention",
}
"""Why towers of timm that open_clip's architectures name cannot be read."""


def vit_tower(model: CLIPModel) -> Tower | str:
    """Take a model's image tower apart, or say in one sentence why that is not possible."""
    # open_clip and timm take most of a second to import: only when a model is there
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer as TimmViT

    visual: Any = model.visual
    if isinstance(visual, VisionTransformer):
        return open_clip_tower(visual)
    if isinstance(visual, TimmModel) and isinstance(visual.trunk, TimmViT | Eva):
        return timm_tower(visual)
    kind = type(getattr(visual, "trunk", visual)).__name__
    why = _OTHER_KINDS.get(kind, "is not a vision transformer of a known kind")
    return f"Its image tower ({kind}) {why}."


def require_tower(model: CLIPModel) -> Tower:
    """`vit_tower`, with the sentence raised as an `InputError`."""
    tower = vit_tower(model)
    if isinstance(tower, str):
        raise InputError(f'"{model.name}" cannot be used this way: {tower}')
    return tower


@dataclass(frozen=True)
class Pass:
    """The end of a forward pass over a batch of views.

    Attributes
    ----------
    middle, late : torch.Tensor
        ``(B, N, C)``, the residual stream half-way and before the last block.
    """

    grid: Grid  # patches down and across
    middle: Tensor
    late: Tensor
    # ``(B, N, C)``, the residual stream after the last block; ``(B, 1, C)``, the class token alone,
    # where the method left out the rest.
    last: Tensor
    embedding: Tensor  # ``(B, D)`` unit rows

    def features(self, tower: Tower, b: int) -> list[Tensor]:
        """Local features of view b for the refinement, each ``(C, h, w)`` float32.

        The last block mostly gathers what the class token needs; what it is given still says
        what lies under each patch.
        """
        return [tower.patches(x[b], self.grid) for x in (self.middle, self.late)]


def forward(
    model: CLIPModel,
    tower: Tower,
    pixels: Tensor,
    step: Callable[[int, Block, Tensor, Tensor | None], Tensor | None],
    positions: str = "bilinear",
) -> Pass:
    """Run a tower, giving a method the chance to look at each block.

    `pixels`: ``(B, 3, h, w)``, any size, on any device; `step`: ``(index, block, residual stream,
    rope)`` -> the block's output, or None to have the block run with fused attention.
    """
    if positions not in ("bilinear", "bicubic"):
        raise InputError(f'positions is "{positions}"; choose bilinear or bicubic.')
    pixels, grid = tower.fit(pixels.to(model.device))
    x, rope = tower.embed(pixels, positions), tower.rope(grid)
    middle = late = x
    with model.linears:
        for i, block in enumerate(tower.blocks):
            late = x
            out = step(i, block, x, rope)
            x = block.forward(x, rope) if out is None else out
            if i == len(tower.blocks) // 2 - 1:
                middle = x
    return Pass(grid, middle, late, x, F.normalize(tower.head(x).float(), dim=-1))


def vector_jacobian(
    outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], cotangents: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Pull a batch of cotangents ``(K, *output.shape)`` back to ``(K, *input.shape)``."""
    gradients: tuple[Tensor, ...] = torch.autograd.grad(
        outputs, inputs, cotangents, is_grads_batched=True
    )
    return gradients


def cosine_gradient(embedding: Tensor, text: Tensor) -> Tensor:
    """Gradient of ``cos(embedding, text_k)`` by the embedding: ``(D,), (K, D) -> (K, D)``."""
    norm = embedding.norm()
    unit = embedding / norm
    gradient: Tensor = (text - (text @ unit)[:, None] * unit) / norm
    return gradient


def class_chunk(heads: int, tokens: int, *, budget: int = 2**26) -> int:
    """Classes to treat at a time so that their ``(heads, N, N)`` floats stay within a budget."""
    return max(1, budget // (heads * tokens * tokens))
