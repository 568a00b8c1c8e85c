"""Small image towers with random weights, for comparing methods with their published formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from timm.layers import HybridEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem
from timm.models.vitamin import GeGluMlp, MbConvStages, VitCfg
from torch import nn

from napari_wildseg.engine.models.clip_model import CLIPModel

DIM = 24
TEXT = {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1}
VIT = {"image_size": 48, "patch_size": 16, "width": 48, "layers": 3, "head_width": 16}


def _open_clip(**vision: Any) -> Callable[[], nn.Module]:
    quick = vision.pop("quick_gelu", False)
    return lambda: CLIP(
        embed_dim=DIM, vision_cfg={**VIT, **vision}, text_cfg=TEXT, quick_gelu=quick
    )


def _timm(kind: type[nn.Module], **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        vision = {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear"}
        net = CustomTextCLIP(embed_dim=DIM, vision_cfg=vision, text_cfg=TEXT)
        net.visual.trunk = kind(
            img_size=48, patch_size=16, embed_dim=48, depth=3, num_heads=3, num_classes=0, **options
        )
        net.visual.head = nn.Linear(48, DIM, bias=False)
        return net

    return make


def _stem(stem: Callable[[], nn.Module], **options: Any) -> Callable[[], nn.Module]:
    """A vision transformer behind convolutions that come to the same stride of 16."""
    options.setdefault("patch_size", 1)

    def make(**kwargs: Any) -> nn.Module:
        embed = partial(HybridEmbed, backbone=stem(), proj=False)
        kwargs.update(options)
        return VisionTransformer(embed_layer=embed, **kwargs)

    return _timm(make)


def _mobile_stem() -> nn.Module:
    return ConvStem(
        channels=(12, 24, 48), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0,
        act_layer=nn.GELU,
    )  # fmt: skip


def _vitamin_stem() -> nn.Module:
    return MbConvStages(VitCfg(embed_dim=(8, 16, 48), depths=(1, 1, 1), stem_width=8))


TOWERS: dict[str, Callable[[], nn.Module]] = {
    "class token": _open_clip(),
    "quickgelu": _open_clip(quick_gelu=True),
    "average pooled": _open_clip(pool_type="avg", final_ln_after_pool=True, no_ln_pre=True),
    "average of normalised": _open_clip(pool_type="avg", ls_init_value=0.5),
    "custom blocks": _open_clip(
        qk_norm=True, scale_heads=True, scale_attn_inner=True, scale_attn=True, scale_fc=True
    ),
    "timm class token": _timm(VisionTransformer, global_pool="token", init_values=0.3),
    "timm registers": _timm(VisionTransformer, global_pool="token", reg_tokens=2, qk_norm=True),
    "siglip": _timm(VisionTransformer, global_pool="map", class_token=False),
    "eva": _timm(Eva, global_pool="token", use_rot_pos_emb=True, qkv_fused=False, swiglu_mlp=True),
    "perception encoder": _timm(
        Eva,
        global_pool="map",
        use_rot_pos_emb=True,
        attn_pool_num_heads=3,
        attn_pool_mlp_ratio=2.0,
        use_post_transformer_norm=True,
        use_pre_transformer_norm=True,
        init_values=0.4,
    ),
    "perception encoder with rotary attention": _timm(
        Eva,
        global_pool="map",
        attn_type="rope",
        use_rot_pos_emb=True,
        use_pre_transformer_norm=True,
        ref_feat_shape=(3, 3),
        rope_grid_offset=1.0,
        rope_grid_indexing="xy",
        attn_pool_num_heads=3,
        attn_pool_mlp_ratio=2.0,
    ),
    "eva with norms after": _timm(Eva, global_pool="token", use_post_norm=True),
    "coca": _open_clip(attentional_pool=True, attn_pooler_heads=2, attn_pooler_queries=4),
    "mobileclip": _stem(_mobile_stem, global_pool="token"),
    "vitamin": _stem(_vitamin_stem, global_pool="avg", class_token=False, mlp_layer=GeGluMlp),
}


def make_model(kind: str, seed: int = 0) -> CLIPModel:
    """A model of one of `TOWERS`; its weights are random and far from any symmetry."""
    torch.manual_seed(seed + 2 * (kind == "vitamin"))  # with others one of its maps is empty
    net = TOWERS[kind]().eval().requires_grad_(False)
    gain = 0.3 if kind == "eva with norms after" else 0.6  # its logits grow with the stream
    for name, parameter in net.visual.named_parameters():
        if parameter.ndim == 1:
            parameter += 0.2 * torch.randn_like(parameter)
        elif parameter.ndim == 2:
            parameter.normal_(0, gain * parameter.shape[-1] ** -0.5)
        elif "backbone" in name:
            parameter.normal_(0, 1.4 * parameter[0].numel() ** -0.5)
        else:
            parameter += 0.1 * torch.randn_like(parameter)
    return CLIPModel(
        name=kind,
        network=net,
        tokenizer=lambda texts: torch.zeros(len(texts), 8, dtype=torch.long),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        templates=("{}",),
        device=torch.device("cpu"),
        fingerprint=kind,
    )
