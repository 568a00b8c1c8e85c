"""What is asked of the text tower: one row a class, and the words that compete with the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.models.base import CLIPModel

BACKGROUND_WORDS = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea",
    "railway", "railroad", "keyboard", "helmet", "cloud", "house", "mountain", "ocean", "road",
    "rock", "street", "valley", "bridge", "sign",
)  # fmt: skip
"""Words that compete with the classes in relevance (CLIP-ES, Lin et al., CVPR 2023)."""


def text_rows(
    model: CLIPModel, classes: Sequence[ClassInfo], background: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Encode classes and background words.

    Parameters
    ----------
    model : CLIPModel
        Its text tower encodes; what it encoded before is kept there.
    classes : sequence of ClassInfo
        Several prompts of one class are averaged.
    background : sequence of str
        Competing words; those that are a class or one of its prompts are left out.

    Returns
    -------
    text : torch.Tensor
        ``(K, D)`` unit rows.
    background : torch.Tensor
        ``(B, D)`` unit rows; B may be 0.
    """
    text = F.normalize(
        torch.stack([model.encode_text(info.prompts).mean(0) for info in classes]), dim=-1
    )
    taken = {p.casefold() for info in classes for p in (info.name, *info.prompts)}
    words = [word for word in background if word.casefold() not in taken]
    return text, model.encode_text(words) if words else text[:0]
