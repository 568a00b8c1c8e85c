"""Checkpoints: from a file to a network, without executing anything that is in the file."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.architecture import Architecture, beside, deduce, from_json

PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
"""Names of checkpoint files in a directory, the best first (open_clip's own order)."""


def checkpoint_in(folder: Path) -> Path:
    """Find the checkpoint of a directory, safetensors before anything else."""
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise WildsegError(f"{folder} holds no checkpoint (*.safetensors, *.bin, *.pth, *.pt).")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    ``.safetensors`` holds nothing else; other files are read by torch with ``weights_only``, which
    refuses whatever is not tensors and plain containers.

    Raises
    ------
    WildsegError
        If the file is damaged, or holds more than tensors.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WildsegError(_why_unreadable(path, error)) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not state:
        raise WildsegError(f"{path.name} holds no weights.")
    tensors = {str(key).removeprefix("module."): t for key, t in state.items()}
    if not all(isinstance(t, Tensor) for t in tensors.values()):
        raise WildsegError(f"{path.name} holds other things than a network's weights.")
    return tensors


def _why_unreadable(path: Path, error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{path.name} cannot be read: {error.strerror}."
    if "TorchScript" in text or "torch.jit" in text:
        return (
            f"{path.name} is a TorchScript archive, which contains code and is not opened; "
            "save its state dict as .safetensors."
        )
    if "GLOBAL" in text or "Unsupported" in text:
        return (
            f"{path.name} holds Python objects that could execute code, and is not opened; "
            "save its state dict as .safetensors."
        )
    return (
        f"{path.name} is damaged or incomplete ({path.stat().st_size} bytes); "
        "get it again (a download is repeated by `wildseg models --download`)."
    )


def describe(path: Path, state: dict[str, Tensor]) -> Architecture:
    """Find out which architecture a checkpoint file is of.

    In this order: ``open_clip_config`` in the metadata of a safetensors file, ``<file>.json`` or
    ``open_clip_config.json`` beside it, the shapes of its tensors.

    Raises
    ------
    WildsegError
        If none of these tells.
    """
    if path.suffix.lower() == ".safetensors":
        config = metadata(path).get("open_clip_config")
        if config:
            return from_json(config, path.name)
    found = beside(path) or deduce(state, path.name)
    if found is None:
        raise WildsegError(
            f"{path.name} has the tensors of no architecture known here; say which it is, "
            f"as in ViT-B-16:{path.name}, or put its open_clip_config.json beside it."
        )
    return found


def metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file that `read_weights` has accepted."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return dict(header.get("__metadata__", {}))


def fill(network: nn.Module, state: dict[str, Tensor], name: str, file: str) -> None:
    """Put weights into a network, as open_clip does: older layouts converted, sizes adapted.

    Raises
    ------
    WildsegError
        If the weights are of another architecture.
    """
    from open_clip import factory

    try:
        state = factory.convert_state_dict(network, dict(state))
        if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
            state = factory.convert_to_custom_text_state_dict(state)
        own = network.state_dict()
        for key in ("logit_scale", "logit_bias"):
            if key in state and key in own:
                state[key] = state[key].reshape(own[key].shape)
        factory.resize_pos_embed(state, network)
        factory.resize_text_pos_embed(state, network)
        network.load_state_dict(state, strict=True)
    except Exception as error:
        detail = " ".join(str(error).split())
        raise WildsegError(
            f'{file} holds the weights of another architecture than "{name}" ({detail:.120}...).'
        ) from error


def fingerprint(network: nn.Module) -> str:
    """Identify weights by about a thousand values of every tensor; the same on every device.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 1024)].double().cpu().numpy()
        digest.update(f"{name}{tuple(tensor.shape)}".encode() + sample.tobytes())
    return digest.hexdigest()[:32]
