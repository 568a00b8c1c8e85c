"""Models in the format of the transformers library: ``config.json`` and ``model.safetensors``.

``CLIPModel``, ``SiglipModel`` and ``Siglip2Model`` are converted to open_clip's towers on loading,
by renaming their tensors. The transformers library is not used. Only sizes and names of
activations are read from ``config.json``, so code in a folder (``auto_map``) is never executed.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.architecture import OPENAI_MEAN, OPENAI_STD, Architecture

TRANSFORMERS_CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
TRANSFORMERS_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
MODEL_TYPES = ("clip", "siglip", "siglip2")

_CLIP_VOCABULARY = 49408
_PATCHES = 256
_ACTIVATIONS = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}
"""Names of activations in the transformers library and in timm."""

_CLIP_VISION = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}  # fmt: skip
_CLIP_TEXT = {
    "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 8, "max_position_embeddings": 77, "vocab_size": _CLIP_VOCABULARY,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "eos_token_id": 49407,
}  # fmt: skip
_SIGLIP_VISION = {
    **_CLIP_VISION, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
}  # fmt: skip
_SIGLIP_TEXT = {
    **_CLIP_TEXT, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
    "max_position_embeddings": 64, "vocab_size": 32000, "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}  # fmt: skip
"""The library's defaults for settings that ``config.json`` omits."""


def kind_of(folder: Path) -> str | None:
    """Return the model type in a folder's ``config.json``; None if there is none."""
    path = folder / TRANSFORMERS_CONFIG
    if not path.is_file():
        return None
    found = _read(path).get("model_type")
    return found if isinstance(found, str) else None


def architecture_of_folder(folder: Path, name: str) -> Architecture:
    """Convert the ``config.json`` of a folder to open_clip's configuration."""
    kind = kind_of(folder)
    if kind not in MODEL_TYPES:
        raise WildsegError(
            f"{name} is a model of the kind {kind!r:.40}; of the transformers library's models, "
            "CLIPModel, SiglipModel and Siglip2Model can be used."
        )
    try:
        found = _read(folder / TRANSFORMERS_CONFIG)
        make = _clip if kind == "clip" else partial(_siglip, any_aspect=kind == "siglip2")
        architecture = make(found, name)
        scaling = _read(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
        for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
            if theirs in scaling:
                r, g, b = (float(value) for value in scaling[theirs])
                setattr(architecture, ours, (r, g, b))
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise WildsegError(
            f"The {TRANSFORMERS_CONFIG} of {name} is not valid ({error!r:.80})."
        ) from error
    return architecture


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WildsegError(f"{path} is not JSON ({error!s:.60}).") from error
    return data if isinstance(data, dict) else {}


def _settings(found: dict[str, Any], part: str, usual: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of one tower; older files store them under another key."""
    given = found.get(part) or found.get(f"{part}_dict") or {}
    return {**usual, **{key: value for key, value in given.items() if value is not None}}


def _clip(found: dict[str, Any], name: str) -> Architecture:
    vision = _settings(found, "vision_config", _CLIP_VISION)
    text = _settings(found, "text_config", _CLIP_TEXT)
    activation = vision["hidden_act"]
    if activation != text["hidden_act"] or activation not in ("quick_gelu", "gelu"):
        raise WildsegError(
            f'{name} computes with the activations "{activation}" and "{text["hidden_act"]}"; '
            "only quick_gelu or gelu in both towers is supported."
        )
    end = text["eos_token_id"]
    by_number = end in (2, text["vocab_size"] - 1)  # 2: from before the library stored the end id
    config: dict[str, Any] = {
        "embed_dim": found.get("projection_dim") or 512,
        "quick_gelu": activation == "quick_gelu",
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            **_transformer(vision),
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            **_transformer(text),
            "heads": text["num_attention_heads"],
            "pool_type": "argmax" if by_number else "eos",
            "eos_id": 2 if by_number else end,
        },
    }
    if text["vocab_size"] != _CLIP_VOCABULARY:
        config["text_cfg"]["hf_tokenizer_name"] = name
    return Architecture(name, config, OPENAI_MEAN, OPENAI_STD)


def _siglip(found: dict[str, Any], name: str, any_aspect: bool) -> Architecture:
    vision = _settings(found, "vision_config", _SIGLIP_VISION)
    text = _settings(found, "text_config", _SIGLIP_TEXT)
    for tower in (vision, text):
        if tower["hidden_act"] not in _ACTIVATIONS:
            raise WildsegError(
                f'{name} computes with the activation "{tower["hidden_act"]}"; of those, '
                f"{', '.join(_ACTIVATIONS)} are supported."
            )
    if not vision.get("vision_use_head", True):
        raise WildsegError(f"{name} has no attention pooling, so it gives no image embedding.")
    patch = int(vision["patch_size"])
    width = text.get("projection_size") or text["hidden_size"]
    side = vision["image_size"]
    if any_aspect:
        side = patch * round(vision.get("num_patches", _PATCHES) ** 0.5)
    config: dict[str, Any] = {
        "embed_dim": width,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {"image_size": side, "patch_size": patch},
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "hf_tokenizer_name": name,
            "tokenizer_kwargs": {"clean": "canonicalize"},
            **_transformer(text),
            "heads": text["num_attention_heads"],
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }
    if _ACTIVATIONS[text["hidden_act"]] == "gelu_tanh":
        config["text_cfg"]["act_kwargs"] = {"approximate": "tanh"}
    trunk = {
        "img_size": side,
        "patch_size": patch,
        "embed_dim": vision["hidden_size"],
        "depth": vision["num_hidden_layers"],
        "num_heads": vision["num_attention_heads"],
        "mlp_ratio": (vision["intermediate_size"] + 0.5) / vision["hidden_size"],
        "activation": _ACTIVATIONS[vision["hidden_act"]],
        "eps": vision["layer_norm_eps"],
        "any_aspect": any_aspect,
    }
    half = (0.5, 0.5, 0.5)
    return Architecture(name, config, half, half, trunk=trunk)


def _transformer(tower: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that open_clip's two transformers have in common."""
    return {
        "width": tower["hidden_size"],
        "layers": tower["num_hidden_layers"],
        "mlp_ratio": (tower["intermediate_size"] + 0.5) / tower["hidden_size"],
        "norm_kwargs": {"eps": tower["layer_norm_eps"]},
    }


# -- weights -----------------------------------------------------------------------------------


def is_converted(state: dict[str, Tensor]) -> bool:
    """Return whether the tensors have the transformers library's names."""
    return any(name.startswith("vision_model.") for name in state)


_NAMES = {
    "text_model.embeddings.token_embedding.": "token_embedding.",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.": "ln_final.",
    "text_model.encoder.layers.": "transformer.resblocks.",
    "text_model.head.": "text_projection.",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.": "visual.ln_pre.",
    "vision_model.post_layernorm.": "visual.ln_post.",
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
    "visual_projection.weight": "visual.proj",
}
_TIMM_NAMES = {
    "vision_model.embeddings.patch_embedding.": "visual.trunk.patch_embed.proj.",
    "vision_model.embeddings.position_embedding.weight": "visual.trunk.pos_embed",
    "vision_model.post_layernorm.": "visual.trunk.norm.",
    "vision_model.encoder.layers.": "visual.trunk.blocks.",
    "vision_model.head.probe": "visual.trunk.attn_pool.latent",
    "vision_model.head.attention.out_proj.": "visual.trunk.attn_pool.proj.",
    "vision_model.head.layernorm.": "visual.trunk.attn_pool.norm.",
    "vision_model.head.mlp.": "visual.trunk.attn_pool.mlp.",
}
_PARTS = {
    "self_attn.out_proj.": "attn.out_proj.", "layer_norm1.": "ln_1.", "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.", "mlp.fc2.": "mlp.c_proj.",
}  # fmt: skip
_TIMM_PARTS = {
    "self_attn.out_proj.": "attn.proj.", "layer_norm1.": "norm1.", "layer_norm2.": "norm2.",
}  # fmt: skip


def converted(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Convert the transformers library's tensor names and shapes to open_clip's."""
    siglip = architecture.trunk is not None
    state = dict(state)
    out: dict[str, Tensor] = {}
    ends = ("self_attn.q_proj.weight", "self_attn.q_proj.bias")
    for name in [n for n in state if n.endswith(ends)]:
        packed = [state.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        state[name.replace("self_attn.q_proj.", "self_attn.in_proj.")] = torch.cat(packed)
    for name, value in state.items():
        if name.endswith("position_ids"):
            continue
        out.update(_renamed(name, value, siglip))
    return out


def _renamed(name: str, value: Tensor, siglip: bool) -> dict[str, Tensor]:
    timm = siglip and name.startswith("vision_model.")
    if name.startswith("vision_model.head.attention.in_proj_"):
        rows = len(value) // 3
        end = name.removeprefix("vision_model.head.attention.in_proj_")
        pool = "visual.trunk.attn_pool."
        return {f"{pool}q.{end}": value[:rows], f"{pool}kv.{end}": value[rows:]}
    ours = _replaced(name, _TIMM_NAMES if timm else _NAMES)
    ours = _replaced(ours, _TIMM_PARTS if timm else _PARTS)
    ours = ours.replace("self_attn.in_proj.", "attn.qkv." if timm else "attn.in_proj_")
    if siglip and name.startswith("text_model."):
        ours = f"text.{ours}"
    if name in ("text_projection.weight", "visual_projection.weight"):
        value = value.T
    if timm and ours.endswith("pos_embed"):
        value = value[None]
    if timm and ours.endswith("patch_embed.proj.weight") and value.ndim == 2:
        side = round((value.shape[1] / 3) ** 0.5)  # one row per patch, channels last
        value = value.reshape(-1, side, side, 3).permute(0, 3, 1, 2)
    return {ours: value.contiguous()}


def _replaced(name: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        if old in name:
            return name.replace(old, new, 1)
    return name
