"""Forward passes of vision transformers that keep intermediate results for relevance methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.tower import Block, Grid, Tower
from napari_wildseg.engine.relevance.tower_open_clip import open_clip_tower
from napari_wildseg.engine.relevance.tower_timm import timm_tower

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel


_OTHER_KINDS = {
    "SwinTransformer": "attends within windows of the picture, so no token sees all of it",
    "VisionTransformerRelPos": "adds a position bias of one fixed size to its attention",
}
"""Reasons why some timm towers in open_clip's registry are not supported."""


def vit_tower(model: CLIPModel) -> Tower | str:
    """Split a model's image tower into its steps, or return why it is not supported."""
    # Imported late: open_clip and timm take most of a second to import.
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


class VitMethod:
    """What the relevance methods of vision transformers share."""

    @property
    def name(self) -> str:
        """Name of the method, as users give it."""
        raise NotImplementedError

    def supports(self, model: CLIPModel) -> str | None:
        """Return None for a vision transformer, else the reason."""
        tower = vit_tower(model)
        if isinstance(tower, str):
            return f'The relevance method "{self.name}" does not work with "{model.name}": {tower}'
        return None


def require_tower(model: CLIPModel) -> Tower:
    """Return `vit_tower`; raise `InputError` if the tower is not supported."""
    tower = vit_tower(model)
    if isinstance(tower, str):
        raise InputError(f'"{model.name}" cannot be used this way: {tower}')
    return tower


@dataclass(frozen=True)
class Pass:
    """Result of a forward pass over a batch of views.

    Attributes
    ----------
    middle, late : torch.Tensor
        ``(B, N, C)``, the residual stream halfway and before the last block.
    """

    grid: Grid  # patches down and across
    middle: Tensor
    late: Tensor
    # Residual stream after the last block: ``(B, N, C)``, or ``(B, 1, C)`` for the class token
    # alone, if the method skips the rest.
    last: Tensor
    embedding: Tensor  # ``(B, D)`` unit rows

    def encodings(self, tower: Tower, tensors: dict[str, Tensor]) -> list[ViewEncoding]:
        """Return the encoding of each view; ``tensors`` have one row a view."""
        return [
            ViewEncoding(
                tensors={name: tensor[b].clone() for name, tensor in tensors.items()},
                features=self.features(tower, b),
                embedding=row.clone(),
            )
            for b, row in enumerate(self.embedding)
        ]

    def features(self, tower: Tower, b: int) -> list[Tensor]:
        """Return local features of view b, each ``(C, h, w)`` float32.

        The input of the last block is used, since its output mostly serves the class token.
        """
        return [tower.patches(x[b], self.grid) for x in (self.middle, self.late)]


def forward(
    model: CLIPModel,
    tower: Tower,
    pixels: Tensor,
    step: Callable[[int, Block, Tensor, Tensor | None], Tensor | None],
    positions: str = "bilinear",
) -> Pass:
    """Run a tower; call ``step`` at each block.

    `pixels`: ``(B, 3, h, w)``, any size, on any device; `step`: ``(index, block, residual stream,
    rope)`` -> the block's output, or None to run the block with fused attention.
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
    """Return the vector-Jacobian products: cotangents ``(K, *output.shape)`` -> input shapes."""
    gradients: tuple[Tensor, ...] = torch.autograd.grad(
        outputs, inputs, cotangents, is_grads_batched=True
    )
    return gradients


def cosine_gradient(embedding: Tensor, text: Tensor) -> Tensor:
    """Return the gradient of ``cos(embedding, text_k)`` by the embedding: ``(K, D)``."""
    norm = embedding.norm()
    unit = embedding / norm
    gradient: Tensor = (text - (text @ unit)[:, None] * unit) / norm
    return gradient


def class_chunk(heads: int, tokens: int, *, budget: int = 2**26) -> int:
    """Return how many classes fit into a budget of ``(heads, N, N)`` floats per class."""
    return max(1, budget // (heads * tokens * tokens))
