"""SigLIP's image tower as a timm model, of any size."""

from functools import partial
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import nn


class SiglipTrunk(VisionTransformer):  # type: ignore[misc]
    """SigLIP's image tower as a timm model."""

    def __init__(self, activation: str, eps: float, any_aspect: bool, **options: Any) -> None:
        super().__init__(
            **options,
            num_classes=0,
            class_token=False,
            global_pool="map",
            act_layer=activation,
            norm_layer=partial(nn.LayerNorm, eps=eps),
        )
        self.any_aspect = any_aspect
