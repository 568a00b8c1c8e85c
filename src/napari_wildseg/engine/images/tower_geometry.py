"""Input size and output alignment of image towers."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_wildseg.engine.models.clip_model import CLIPModel


@dataclass(frozen=True)
class Geometry:
    """Input size and cell offset of an image tower."""

    base_side: int  # geometric mean of the input's sides at scale 1, in pixels
    multiple: int  # input sides are multiples of this
    # Offset (right and down) of the output cells' centres from the centres of a regular tiling,
    # in cells.
    offset: float


def geometry_of(model: CLIPModel) -> Geometry:
    """Determine the geometry of a model's image tower."""
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
    """Return the patch size of a vision transformer; 0 for other towers."""
    holder = getattr(visual, "trunk", visual)
    embed: Any = getattr(holder, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    if patch is not None and hasattr(embed, "backbone"):  # hybrid: convolutional stem
        patch = [p * r for p, r in zip(embed.patch_size, embed.feature_ratio, strict=True)]
    if patch is None:
        patch = getattr(visual, "patch_size", None)
    if patch is None:
        return 0
    return int(patch[0] if isinstance(patch, tuple | list) else patch)


def _stem_shift(stem: nn.Module, patch: int) -> float:
    """Return the offset, in patches, accumulated by the strided convolutions of a stem.

    Cell i of a convolution is centred at ``i * stride - padding + (kernel - 1) / 2``, a cell of
    the regular tiling at ``i * stride + (stride - 1) / 2``.
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
    """Return the offset, in cells, accumulated by the strided convolutions of an EfficientNet.

    For even inputs, TensorFlow's "same" padding adds the odd pixel at the right and bottom, which
    moves the centres half a pixel to the right per strided layer. Symmetric padding moves them
    half a pixel to the left. Other families subsample in blocks with no or little offset.
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
    # The last stride is replaced by dilation: its offset vanishes and cells are half as large.
    last = 0.5 * (stride // 2)
    return (shift - (last if shift > 0 else -last)) / (stride // 2)
