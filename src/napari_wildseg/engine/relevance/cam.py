"""Class activation maps for convolutional image towers.

Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016 (CAM): where the
tower ends in global average pooling and a linear map, the score of a class is the mean over the
image of ``<feature(y, x), text_k>``, so that product *is* the relevance, exactly and for any
number of classes at the cost of one matrix product.

Selvaraju et al., *Grad-CAM*, ICCV 2017: for every other head (attention pooling of CLIP's ResNets,
normalisation before the projection), the features are weighted by the spatial mean of the gradient
of the cosine score. Only the head is differentiated, never the tower.
"""

from __future__ import annotations

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
from napari_wildseg.engine.relevance.hyponyms import answers

_FEATURE_STRIDES = (8, 16)
"""Strides of the tower's earlier features that the refinement gets, besides the last."""


@dataclass(frozen=True)
class CamRelevance:
    """Class activation maps (see the module's text)."""

    # Where the tower allows it (timm's EfficientNet and ResNet families), the last stride is
    # replaced by dilation: maps of twice the resolution from the same weights (Chen et al.,
    # DeepLab, TPAMI 2018).
    dilate: bool = True
    name = "cam"
    sizes_must_agree = True  # measured: docs/method.md

    def supports(self, model: CLIPModel) -> str | None:
        """Return None for convolutional towers, else a sentence."""
        if _is_convolutional(model.visual):
            return None
        return (
            f'The relevance method "cam" needs a convolutional image tower; {model.name} has none.'
        )

    @torch.no_grad()
    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the tower; keeps the last feature map, and earlier ones for the refinement."""
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
        """Weight the features by the class (CAM), or by the class score's gradient (Grad-CAM).

        Of a tower that was trained on a closed list of classes, by the best of those that a name
        stands for (`hyponyms`).
        """
        tower = _tower(model, self.dilate)
        last = encoding.tensors["last"]
        if tower.plain and model.concepts is not None:
            places = last.permute(1, 2, 0).flatten(0, 1)
            return answers(text, places, model.concepts).reshape(-1, *last.shape[1:])
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
    """A tower cut before its pooling: the features, and what turns them into an embedding."""

    trunk: Callable[[Tensor], tuple[Tensor, list[Tensor]]]
    head: Callable[[Tensor], Tensor]
    linear: Tensor | None  # (D, C) where embedding = linear @ mean(features), else None
    plain: bool = False  # the linear map changes nothing


_TOWERS: weakref.WeakKeyDictionary[nn.Module, dict[bool, _Tower]] = weakref.WeakKeyDictionary()


def _tower(model: CLIPModel, dilate: bool) -> _Tower:
    """Cut a model's tower once and keep the pieces as long as the network lives."""
    kept = _TOWERS.setdefault(model.network, {})
    if dilate not in kept:
        visual = model.visual
        kept[dilate] = (
            _cut_timm(visual, dilate, model.bfloat16)
            if hasattr(visual, "trunk")
            else _cut_resnet(visual)
        )
    return kept[dilate]


def _is_convolutional(visual: nn.Module) -> bool:
    from open_clip.modified_resnet import ModifiedResNet

    if isinstance(visual, ModifiedResNet):
        return True
    trunk = getattr(visual, "trunk", None)
    # timm's transformers carry a patch embedding; convolutional families list their stages.
    return (
        trunk is not None and hasattr(trunk, "feature_info") and not hasattr(trunk, "patch_embed")
    )


def _cut_timm(visual: nn.Module, dilate: bool, bfloat16: Sequence[str]) -> _Tower:
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
            runner = trunk  # this family cannot dilate
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
    """Whether average pooling is all that stands before the projection; tried on numbers.

    True of timm's EfficientNet and ResNet families; MobileNetV3 has a convolution after it,
    ConvNeXt a normalisation.
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
    """Fold each batch norm into the convolution before it: the same numbers, a fifth less time.

    The convolutions are replaced, not changed: their weights may be shared with another network.
    """
    from timm.layers.norm_act import BatchNormAct2d
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(network.modules()):
        children = list(parent.named_children())
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, norm.act)


def _cut_resnet(visual: nn.Module) -> _Tower:
    """Cut CLIP's own ResNet, which pools by attention with a position embedding of fixed size."""

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
        # The pooling knows one grid: features of any other size are resampled to it.
        return pool(F.interpolate(last, (side, side), mode="bilinear", antialias=False))  # type: ignore

    return _Tower(forward, head, None)


def linear_of(model: CLIPModel) -> tuple[Tensor | None, bool]:
    """Return ``(D, C)`` where a tower's embedding is this times the mean feature, else None.

    And whether it is the identity.
    """
    tower = _tower(model, dilate=True)
    return tower.linear, tower.plain


def head_of(model: CLIPModel) -> Callable[[Tensor], Tensor]:
    """Return what turns a tower's last features ``(B, C, h, w)`` into embeddings ``(B, D)``."""
    return _tower(model, dilate=True).head
