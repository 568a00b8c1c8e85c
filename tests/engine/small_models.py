"""Small convolutional image-text models of open_clip with random weights."""

from __future__ import annotations

import zlib

import torch
from torch import nn

from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.light_import import import_open_clip

import_open_clip()  # first of all tests: PyTorch's compiler takes two seconds and none needs it

from open_clip.model import CLIP, CustomTextCLIP  # noqa: E402

DIM = 24
WORDS = 64
TEXT = {"context_length": 8, "vocab_size": WORDS, "width": 32, "heads": 2, "layers": 1}


def _timm(name: str, proj: str | None = "linear", **vision: object) -> nn.Module:
    config = {
        "timm_model_name": name,
        "timm_pool": "avg",
        "timm_proj": proj,
        "timm_model_pretrained": False,
        "image_size": 64,
        **vision,
    }
    return CustomTextCLIP(embed_dim=DIM, vision_cfg=config, text_cfg=TEXT)


TOWERS = {
    # CLIP's own ResNet, as RN50: a stem of three convolutions and attention pooling.
    "RN": lambda: CLIP(
        embed_dim=DIM,
        vision_cfg={"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
        text_cfg=TEXT,
    ),
    "resnet": lambda: _timm("test_resnet"),
    "efficientnet": lambda: _timm("test_efficientnet"),
    "projection with bias": lambda: _timm("test_resnet", timm_proj_bias=True),
    "mlp projection": lambda: _timm("test_resnet", proj="mlp"),
    "convnext": lambda: _timm("test_convnext"),
}


def tokenize(sentences: list[str]) -> torch.Tensor:
    """One token a word, the end token (the largest, as open_clip looks for it) after them."""
    tokens = torch.zeros(len(sentences), 8, dtype=torch.long)
    for row, sentence in zip(tokens, sentences, strict=True):
        words = sentence.split()[:7]
        for place, word in enumerate(words):
            row[place] = 1 + zlib.crc32(word.encode()) % (WORDS - 2)
        row[len(words)] = WORDS - 1
    return tokens


def make_model(kind: str, seed: int = 0) -> CLIPModel:
    """A model of one of `TOWERS`; its random weights are far from any symmetry."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TOWERS[kind]().eval().requires_grad_(False)
        for name, parameter in network.visual.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
            elif parameter.ndim == 4:
                fan_in = parameter[0].numel()
                parameter.normal_(0, 1.4 * fan_in**-0.5)
            elif "positional" not in name:
                parameter.normal_(0, parameter.shape[-1] ** -0.5)
        for name, buffer in network.visual.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.1 * torch.randn_like(buffer)
    return CLIPModel(
        name=f"small {kind}",
        network=network,
        tokenizer=tokenize,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        templates=("{}",),
        device=torch.device("cpu"),
        fingerprint=kind,
    )
