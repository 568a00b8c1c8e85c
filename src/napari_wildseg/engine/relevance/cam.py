"""Class activation maps for convolutional image towers.

Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016 (CAM): if the
tower ends in global average pooling and a linear map, the score of a class is the mean over the
image of ``<feature(y, x), text_k>``. This product is therefore the exact relevance, and one matrix
product computes it for any number of classes.

Selvaraju et al., *Grad-CAM*, ICCV 2017: for every other head (attention pooling of CLIP's ResNets,
normalisation before the projection), the features are weighted by the spatial mean of the gradient
of the cosine score. Only the head is differentiated, not the tower.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.fused import fuse, use_bfloat16
from napari_wildseg.engine.relevance import ViewEncoding
from napari_wildseg.engine.relevance.hyponyms import relevance_of_names

_FEATURE_STRIDES = (8, 16)
"""Strides of the earlier features that the refinement uses, besides the last."""


@dataclass(frozen=True)
class CamRelevance:
    """Class activation maps."""

    # Replace the last stride by dilation if the tower allows it (timm's EfficientNet and ResNet
    # families): maps of twice the resolution from the same weights (Chen et al., DeepLab, TPAMI
    # 2018).
    dilate: bool = True
    name = "cam"
    multiply_scales = True  # measured: docs/method.md

    def supports(self, model: CLIPModel) -> str | None:
        """Return None for convolutional towers, else the reason."""
        if _is_convolutional(model.visual):
            return None
        return (
            f'The relevance method "cam" needs a convolutional image tower; {model.name} has none.'
        )

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the tower; keep the last feature map, and earlier ones for the refinement."""
        tower = _tower(model, self.dilate)
        pixels = pixels.to(model.device).contiguous(memory_format=torch.channels_last)
        last, earlier = tower.trunk(pixels)
        last = last.float()
        embedding = F.normalize(tower.head(last).float(), dim=-1)
        return [
            ViewEncoding(
                tensors={"last": last[b]},
                features=[f[b].float() for f in earlier],
                embedding=embedding[b],
            )
            for b in range(len(pixels))
        ]

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Weight the features by the text vector (CAM) or by the score's gradient (Grad-CAM).

        For a tower trained on a closed list of classes, see `hyponyms.relevance_of_names`.
        """
        tower = _tower(model, self.dilate)
        last = encoding.tensors["last"]
        if tower.plain and model.concepts is not None:
            places = last.permute(1, 2, 0).flatten(0, 1)
            return relevance_of_names(text, places, model.concepts).reshape(-1, *last.shape[1:])
        if tower.linear is not None:
            weights = text if tower.plain else text @ tower.linear
            return torch.einsum("kc,chw->khw", weights, last)
        with torch.enable_grad():
            leaf = last[None].clone().requires_grad_()
            scores = F.normalize(tower.head(leaf), dim=-1)[0] @ text.T
            grads = [
                torch.autograd.grad(score, leaf, retain_graph=True)[0].mean((-2, -1))
                for score in scores
            ]
        weights = torch.cat(grads) if grads else last.new_zeros(0, len(last))
        return torch.einsum("kc,chw->khw", weights, last).relu()


@dataclass
class _Tower:
    """A tower split before its pooling into feature extractor and head."""

    trunk: Callable[[Tensor], tuple[Tensor, list[Tensor]]]
    head: Callable[[Tensor], Tensor]
    linear: Tensor | None  # (D, C) where embedding = linear @ mean(features), else None
    plain: bool = False  # the linear map is the identity


_TOWERS: weakref.WeakKeyDictionary[nn.Module, dict[bool, _Tower]] = weakref.WeakKeyDictionary()


def _tower(model: CLIPModel, dilate: bool) -> _Tower:
    """Split a model's tower once; the parts are cached during the network's lifetime."""
    kept = _TOWERS.setdefault(model.network, {})
    if dilate not in kept:
        visual = model.visual
        kept[dilate] = (
            _split_timm(visual, dilate, model.bfloat16)
            if hasattr(visual, "trunk")
            else _split_resnet(visual)
        )
    return kept[dilate]


def _is_convolutional(visual: nn.Module) -> bool:
    from open_clip.modified_resnet import ModifiedResNet

    if isinstance(visual, ModifiedResNet):
        return True
    trunk = getattr(visual, "trunk", None)
    # timm's transformers have a patch embedding; convolutional families do not.
    return (
        trunk is not None and hasattr(trunk, "feature_info") and not hasattr(trunk, "patch_embed")
    )


def _split_timm(visual: nn.Module, dilate: bool, bfloat16: Sequence[str]) -> _Tower:
    import timm

    trunk: nn.Module = visual.trunk  # type: ignore[assignment]
    project: nn.Module = visual.head  # type: ignore[assignment]
    pooled = nn.Sequential(*project) if len(project) else nn.Identity()  # type: ignore[arg-type, misc]
    name = trunk.pretrained_cfg["architecture"]  # type: ignore[index]
    runner = trunk
    if dilate:
        try:
            runner = timm.create_model(name, num_classes=0, global_pool="avg", output_stride=16)
            runner.load_state_dict(trunk.state_dict(), assign=True)
            _fold_norms(runner.eval())
            fuse(runner)
            use_bfloat16(runner, bfloat16)
        except (TypeError, AssertionError, NotImplementedError, RuntimeError):
            runner = trunk  # no dilation in this family
    info = [(f["reduction"], i) for i, f in enumerate(runner.feature_info)]  # type: ignore
    wanted = [i for stride in _FEATURE_STRIDES for s, i in info[:-1] if s == stride]

    def forward(pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        last, earlier = runner.forward_intermediates(pixels, indices=wanted)  # type: ignore
        return last, list(earlier)

    def head(last: Tensor) -> Tensor:
        return pooled(trunk.forward_head(last))  # type: ignore[operator, no-any-return]

    linear: Tensor | None = None
    if _only_averages(trunk):
        layers = [m for m in project.modules() if isinstance(m, nn.Linear)]
        if not layers:
            linear = torch.eye(int(trunk.num_features), device=next(trunk.parameters()).device)  # type: ignore
        elif len(layers) == 1 and layers[0].bias is None:
            linear = layers[0].weight.detach()
    return _Tower(forward, head, linear, linear is not None and _is_identity(linear))


def _is_identity(matrix: Tensor) -> bool:
    rows, columns = matrix.shape
    return rows == columns and torch.equal(matrix, torch.eye(rows, device=matrix.device))


def _only_averages(trunk: nn.Module) -> bool:
    """Return whether only average pooling precedes the projection, tested on numbers.

    True for timm's EfficientNet and ResNet families. MobileNetV3 has a convolution after the
    pooling, ConvNeXt a normalisation.
    """
    parameter = next(trunk.parameters())
    channels = int(trunk.feature_info[-1]["num_chs"])  # type: ignore[index]
    probe = torch.linspace(-1, 1, channels * 4, device=parameter.device, dtype=parameter.dtype)
    probe = probe.reshape(1, channels, 2, 2).sin()
    try:
        with torch.no_grad():
            pooled: Tensor = trunk.forward_head(probe)  # type: ignore[operator]
    except RuntimeError:
        return False
    mean = probe.mean((2, 3))
    return pooled.shape == mean.shape and torch.allclose(pooled, mean, atol=1e-3)


def _fold_norms(network: nn.Module) -> None:
    """Fold each batch norm into the preceding convolution, which saves a fifth of the time.

    The convolutions are replaced, not modified: their weights may be shared with another network.
    """
    from timm.layers.norm_act import BatchNormAct2d
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, norm.act)


def _split_resnet(visual: nn.Module) -> _Tower:
    """Split CLIP's ResNet, whose attention pooling has a position embedding of fixed size."""

    def forward(pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = visual.stem(pixels)  # type: ignore[operator]
        features = []
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)  # type: ignore[operator]
            features.append(x)
        return features[3], features[1:3]

    pool: nn.Module = visual.attnpool  # type: ignore[assignment]
    size = pool.positional_embedding.shape[0] - 1  # type: ignore[index]
    side = round(float(size) ** 0.5)

    def head(last: Tensor) -> Tensor:
        # Features of another size are resampled to the grid of the position embedding.
        return pool(F.interpolate(last, (side, side), mode="bilinear", antialias=False))  # type: ignore

    return _Tower(forward, head, None)


def tower_projection(model: CLIPModel) -> tuple[Tensor | None, bool]:
    """Return the ``(D, C)`` matrix of a tower whose embedding is linear in the mean feature.

    It is None for other towers. The second value tells whether the matrix is the identity.
    """
    tower = _tower(model, dilate=True)
    return tower.linear, tower.plain


def tower_head(model: CLIPModel) -> Callable[[Tensor], Tensor]:
    """Return the function from last features ``(B, C, h, w)`` to embeddings ``(B, D)``."""
    return _tower(model, dilate=True).head
