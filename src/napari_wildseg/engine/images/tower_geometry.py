"""At what size an image tower sees best, and where its cells really look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_wildseg.engine.models.clip_model import CLIPModel


@dataclass(frozen=True)
class Geometry:
    """How views of an image have to be shown to a tower."""

    base_side: int  # geometric mean of the input's sides at scale 1, in pixels
    multiple: int  # input sides are multiples of this
    # How far the centres of the output's cells lie right of and below the centres of a plain
    # tiling, in cells.
    offset: float


def geometry_of(model: CLIPModel) -> Geometry:
    """Read a model's geometry off its image tower."""
    visual: Any = model.visual
    size = visual.image_size
    side = int(size[0] if isinstance(size, tuple | list) else size)
    patch = _patch_size(visual)
    if patch:
        stem = getattr(
            getattr(getattr(visual, "trunk", None), "patch_embed", None), "backbone", None
        )
        return Geometry(2 * side, patch, 0.0 if stem is None else _stem_shift(stem, patch))
    trunk = getattr(visual, "trunk", visual)
    return Geometry(round(1.5 * side / 32) * 32, 32, _padding_shift(trunk))


def _patch_size(visual: Any) -> int:
    """Return the patch size of a vision transformer, 0 for other towers."""
    holder = getattr(visual, "trunk", visual)
    embed: Any = getattr(holder, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    if patch is not None and hasattr(embed, "backbone"):  # convolutions, then patches
        patch = [p * r for p, r in zip(embed.patch_size, embed.feature_ratio, strict=True)]
    if patch is None:
        patch = getattr(visual, "patch_size", None)
    if patch is None:
        return 0
    return int(patch[0] if isinstance(patch, tuple | list) else patch)


def _stem_shift(stem: nn.Module, patch: int) -> float:
    """Return the offset in patches that the strided convolutions of a stem add up to.

    Cell i of a convolution looks at ``i * stride - padding + (kernel - 1) / 2``, a patch of the
    plain tiling at ``i * stride + (stride - 1) / 2``.
    """
    shift, stride = 0.0, 1
    for layer in stem.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride[0] > 1:
            padding = layer.padding[0]
            assert isinstance(padding, int)
            shift += stride * ((layer.kernel_size[0] - layer.stride[0]) / 2 - padding)
            stride *= layer.stride[0]
    return shift / patch


def _padding_shift(trunk: nn.Module) -> float:
    """Return the offset in cells that strided convolutions of an EfficientNet add up to.

    With an even input, TensorFlow's "same" padding puts the spare pixel right and below, which
    moves a stride's centres by half a pixel to the right; symmetric padding moves them by half a
    pixel to the left. Other families subsample in blocks without a shift, or nearly so.
    """
    from timm.models.efficientnet import EfficientNet

    if not isinstance(trunk, EfficientNet):
        return 0.0
    shift, stride = 0.0, 1
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride[0] == 2:
            dynamic = type(layer).__name__ == "Conv2dSame"
            shift += 0.5 * stride * (1 if dynamic else -1)
            stride *= 2
    # The last stride is dilated away, so the last shift is not there and cells are half as large.
    last = 0.5 * (stride // 2)
    return (shift - (last if shift > 0 else -last)) / (stride // 2)
