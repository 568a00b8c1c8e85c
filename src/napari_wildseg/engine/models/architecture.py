"""Model architectures: open_clip configurations, support checks, identification of checkpoints."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.light_import import without_compiler
from napari_wildseg.engine.models.text_tower import INSTALL, text_settings, text_tower
from napari_wildseg.engine.models.text_tower import has_transformers as has_transformers

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


_NO_TEXT: dict[str, Any] = {
    "context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1
}  # fmt: skip
_NO_VISION: dict[str, Any] = {
    "image_size": 8, "patch_size": 8, "width": 8, "head_width": 8, "layers": 1
}  # fmt: skip
"""Minimal towers, for a tower that is replaced after open_clip built the model."""


@dataclass
class Architecture:
    """An open_clip architecture: the configuration without the weights.

    Attributes
    ----------
    mean, std : tuple of float
        The network's input is ``(rgb / 255 - mean) / std``.
    """

    name: str  # for messages
    config: dict[str, Any]  # open_clip's ``model_cfg``
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    # Vocabulary of a model with its own tokenizer (see `tokenizers.WordTokenizer`).
    words: tuple[str, ...] = ()
    # Prompt templates of the model, or None for the default ones.
    templates: tuple[str, ...] | None = field(default=None)
    # Options of the timm ``VisionTransformer`` that replaces the image tower, if timm has no name
    # for it (`models.weights.transformers_folder`).
    trunk: dict[str, Any] | None = None
    # Folder of the checkpoint, which may hold further configuration files.
    folder: Path | None = field(default=None, repr=False)
    base: str = field(default="", repr=False)  # name of the identified built-in architecture

    @property
    def signature(self) -> str:
        """JSON text of the configuration that determines the model's output.

        It leaves out the tokenizer's repository; `tokenizer_digest` covers the tokenizer's files.
        """
        text = {k: v for k, v in self.config["text_cfg"].items() if k != "hf_tokenizer_name"}
        tower = text.get("hf_model_name")
        settings = text_settings(tower, self.folder) if tower else None
        config = {**self.config, "text_cfg": text}
        parts = (config, settings, self.mean, self.std, self.words, self.trunk)
        return json.dumps(parts, sort_keys=True, default=str)


def builtin_architecture(name: str) -> Architecture:
    """Return the architecture that open_clip has under a name."""
    from open_clip import get_model_config

    config = get_model_config(name)
    if config is None:
        raise InputError(f'open_clip has no architecture "{name}".')
    return Architecture(name, deepcopy(config))


def architecture_from_json(text: str, name: str) -> Architecture:
    """Parse the text of an ``open_clip_config.json``."""
    try:
        data = json.loads(text)
        config = data["model_cfg"]
        preprocess = data.get("preprocess_cfg") or {}
        mean, std = preprocess.get("mean", OPENAI_MEAN), preprocess.get("std", OPENAI_STD)
        for part in ("vision_cfg", "text_cfg"):
            if not isinstance(config[part], dict):
                raise TypeError(f"{part} is no object")
        config["embed_dim"]
        templates = data.get("templates")
        return Architecture(
            name,
            config,
            (float(mean[0]), float(mean[1]), float(mean[2])),
            (float(std[0]), float(std[1]), float(std[2])),
            tuple(str(word) for word in data.get("words", ())),
            tuple(str(t) for t in templates) if templates else None,
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise WildsegError(
            f"The configuration of {name} is not a valid open_clip_config.json ({error!r:.80})."
        ) from error


class _SkipInitialisation(TorchFunctionMode):
    """Skips random initialisation, which takes longer than reading the weights from a file."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_):
            return args[0]
        if func in (nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_initialisation() -> Iterator[None]:
    """Context in which networks are built without initialising their weights."""
    with torch.random.fork_rng(devices=[]), _SkipInitialisation():
        yield


def network(architecture: Architecture, *, towers_only: bool = False) -> nn.Module:
    """Build the network in evaluation mode, with uninitialised weights."""
    from open_clip.model import CLIP, CustomTextCLIP

    config = deepcopy(architecture.config)
    custom = config.pop("custom_text", False)
    if config.pop("multimodal_cfg", None) is not None:
        custom = True  # a CoCa model, whose captioning decoder is not needed
    for part in ("vision_cfg", "text_cfg"):
        config[part].pop("output_tokens", None)
    text = config["text_cfg"]
    foreign = text.get("hf_model_name")
    if foreign:
        custom, config["text_cfg"] = True, _NO_TEXT
    if architecture.trunk is not None:
        config["vision_cfg"] = _NO_VISION
    elif "timm_model_name" in config["vision_cfg"]:
        _check_timm_name(config["vision_cfg"]["timm_model_name"], architecture.name)
        config["vision_cfg"]["timm_model_pretrained"] = False
    try:
        with without_initialisation():
            built: nn.Module = (CustomTextCLIP if custom else CLIP)(**config)
            if foreign and not towers_only:
                settings = text_settings(foreign, architecture.folder)
                if settings is None:
                    raise WildsegError(_unknown_text(architecture.name, foreign))
                built.text = text_tower(settings, text, config["embed_dim"])
            if architecture.trunk is not None:
                built.visual = _timm_trunk(architecture.trunk, config["embed_dim"])
    except WildsegError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())
        raise WildsegError(
            f"The configuration of {architecture.name} does not describe a network that open_clip "
            f"can build ({type(error).__name__}: {detail:.80})."
        ) from error
    return built.eval().requires_grad_(False)


def _check_timm_name(name: object, model: str) -> None:
    """Raise `WildsegError` unless a timm name is plain: ``hf-hub:`` names would be downloaded."""
    if not isinstance(name, str) or re.fullmatch(r"[\w.-]+", name) is None:
        raise WildsegError(f"{name!r:.60}, the image tower of {model}, is no name of timm's.")


def _timm_trunk(options: dict[str, Any], embed_dim: int) -> nn.Module:
    """Build a ``TimmModel`` around a ``VisionTransformer`` of any size."""
    from open_clip.timm_model import TimmModel

    from napari_wildseg.engine.models.siglip_trunk import SiglipTrunk

    visual: nn.Module = TimmModel(
        "test_vit", embed_dim, image_size=options["img_size"], pool="token", proj="none"
    )
    visual.trunk = SiglipTrunk(**options)
    return visual


def _unknown_text(name: str, tower: str) -> str:
    return (
        f'"{name}" cannot be built: its text tower {tower} is not known here; put the config.json '
        "of that text tower beside the checkpoint."
    )


def unsupported(architecture: Architecture) -> str | None:
    """Return why an architecture cannot be used, or None if it can.

    Only the configuration is needed, so this works before a download.
    """
    from napari_wildseg.engine.relevance import get_method, unsupported_reason

    text, name = architecture.config["text_cfg"], architecture.name
    if text.get("hf_model_name"):
        if not has_transformers():
            return (
                f'"{name}" needs the package transformers, which its text tower '
                f"({text['hf_model_name']}) belongs to: {INSTALL}."
            )
        if text_settings(text["hf_model_name"], architecture.folder) is None:
            return _unknown_text(name, text["hf_model_name"])
    if text.get("hf_tokenizer_name") and not has_transformers():
        return (
            f'"{name}" needs the tokenizer {text["hf_tokenizer_name"]}, which needs the package '
            f"transformers: {INSTALL}."
        )
    try:
        with torch.device("meta"), without_compiler():
            shell = network(architecture, towers_only=True)
    except WildsegError as error:
        return str(error)
    model = CLIPModel(
        name=name,
        network=shell,
        tokenizer=lambda texts: torch.zeros(len(texts), 1),
        mean=architecture.mean,
        std=architecture.std,
        templates=("{}",),
        device=torch.device("meta"),
        fingerprint="",
    )
    try:
        get_method(None, model)
    except InputError:
        why = unsupported_reason(model)
        return f'"{name}" is not supported: {why[0].lower()}{why[1:]}'
    return None


def config_beside(path: Path) -> Architecture | None:
    """Read ``<file>.json`` or ``open_clip_config.json`` beside a checkpoint; None if missing."""
    for place in (path.with_suffix(".json"), path.parent / "open_clip_config.json"):
        if place.is_file():
            return architecture_from_json(place.read_text(encoding="utf-8"), path.name)
    return None


def architecture_from_shapes(state: Mapping[str, torch.Tensor], name: str) -> Architecture | None:
    """Find the built-in architecture whose tensors have the shapes of a state dict.

    Architectures that differ only in the activation have the same shapes. The one without
    QuickGELU is returned; `identify.choose_activation` then decides.
    """
    from open_clip import list_models

    found = _signature_of_state({key: tuple(t.shape) for key, t in state.items()})
    if found is None:
        return None
    candidates = sorted(
        list_models(), key=lambda m: ("quickgelu" in m, m.endswith("-alt"), len(m), m)
    )
    for candidate in candidates:
        architecture = builtin_architecture(candidate)
        if _signature_of_config(architecture.config) == found:
            architecture.name, architecture.base = name, candidate
            return architecture
    return None


def _signature_of_state(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, ...] | None:
    """Return sizes that identify an architecture; None if the towers are not native CLIP's."""
    text = "text." if "text.positional_embedding" in shapes else ""
    try:
        context, text_width = shapes[f"{text}positional_embedding"]
        vocabulary = shapes[f"{text}token_embedding.weight"][0]
        embed = shapes[f"{text}text_projection"][1]
        sizes = (embed, context, vocabulary, text_width, _blocks(shapes, f"{text}transformer."))
        if "visual.layer1.0.conv1.weight" in shapes:
            layers = tuple(_count(shapes, f"visual.layer{i}.", 0) for i in (1, 2, 3, 4))
            width = shapes["visual.layer1.0.conv1.weight"][0]
            places = shapes["visual.attnpool.positional_embedding"][0]
            return ("resnet", layers, width, places, *sizes)
        width, _, patch, _ = shapes["visual.conv1.weight"]
        places = shapes["visual.positional_embedding"][0]
        return ("vit", _blocks(shapes, "visual.transformer."), width, patch, places, *sizes)
    except (KeyError, ValueError):
        return None


def _signature_of_config(config: dict[str, Any]) -> tuple[Any, ...] | None:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision or "hf_model_name" in text or "multimodal_cfg" in config:
        return None
    sizes = (
        config["embed_dim"],
        text.get("context_length", 77),
        text.get("vocab_size", 49408),
        text.get("width", 512),
        text.get("layers", 12),
    )
    image = vision.get("image_size", 224)
    if isinstance(vision["layers"], list):
        places = (image // 32) ** 2 + 1
        return ("resnet", tuple(vision["layers"]), vision.get("width", 64), places, *sizes)
    places = (image // vision["patch_size"]) ** 2 + 1
    return ("vit", vision["layers"], vision["width"], vision["patch_size"], places, *sizes)


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str, part: int) -> int:
    """Count the numbered modules under a prefix."""
    numbers = {
        key.removeprefix(prefix).split(".")[part] for key in shapes if key.startswith(prefix)
    }
    return len(numbers)


def _blocks(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return _count(shapes, f"{prefix}resblocks.", 0)
