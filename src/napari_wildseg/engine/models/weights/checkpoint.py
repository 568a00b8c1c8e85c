"""Reading of checkpoints into a network, without executing anything in the file."""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.weights.torchscript_archive import (
    NotReadableError,
    is_torchscript,
    read_torchscript,
)

_PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
"""Names of checkpoint files in a directory, in open_clip's order of preference."""


_WEIGHTS_KEYS = ("state_dict", "model_state_dict", "model")
"""Keys under which training checkpoints store the weights."""

_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
"""Entries beside the weights that only OpenAI's state dicts have, all three together."""

_DROPPED_BUFFERS = ("attn_mask", "position_ids")
"""Name suffixes of buffers that older files contain and that are recomputed."""


def checkpoint_in(folder: Path) -> Path:
    """Find the checkpoint in a directory; prefer safetensors."""
    for name in _PREFERRED:
        if (folder / name).is_file():
            return folder / name
    for pattern in ("*.safetensors", "*.bin", "*.pth", "*.pt"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise WildsegError(f"{folder} holds no checkpoint (*.safetensors, *.bin, *.pth, *.pt).")


@dataclass(frozen=True)
class Weights:
    """The contents of a checkpoint."""

    tensors: dict[str, Tensor]  # by name
    # Whether the network uses QuickGELU, if the file tells: a TorchScript archive by its code, a
    # state dict by OpenAI's three extra entries.
    quick_gelu: bool | None = None


def read_weights(path: Path) -> Weights:
    """Read the tensors of a checkpoint.

    ``.safetensors`` files contain nothing else. TorchScript archives are read without their code.
    Other files are read by torch with ``weights_only``, which refuses everything except tensors
    and plain containers.
    """
    quick_gelu: bool | None = None
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            state: object = load_file(path)
        elif is_torchscript(path):
            state, quick_gelu = read_torchscript(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WildsegError(_read_error(path, error)) from error
    for key in _WEIGHTS_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state:
        raise WildsegError(f"{path.name} holds no weights.")
    if all(name in state for name in _OPENAI_EXTRAS):
        state = {name: value for name, value in state.items() if name not in _OPENAI_EXTRAS}
        quick_gelu = True if quick_gelu is None else quick_gelu
    tensors = {_plain_name(str(key)): t for key, t in state.items()}
    if not all(isinstance(t, Tensor) for t in tensors.values()):
        raise WildsegError(f"{path.name} holds other things than a network's weights.")
    return Weights(tensors, quick_gelu)


def _plain_name(key: str) -> str:
    """Strip the name prefixes of training wrappers and of the compiler."""
    return key.removeprefix("module.").removeprefix("_orig_mod.")


def _read_error(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno is not None:
        return f"{path.name} cannot be read: {error.strerror}."
    if isinstance(error, NotReadableError):
        return (
            f"{path.name} is a TorchScript archive that is damaged, or holds more than modules and "
            f"tensors ({text:.80}); save its state dict as .safetensors."
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


def metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file that `read_weights` accepted."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return dict(header.get("__metadata__", {}))


def load_weights(network: nn.Module, state: dict[str, Tensor], name: str, file: str) -> None:
    """Load weights into a network as open_clip does: convert old layouts, resize embeddings."""
    from open_clip import factory

    try:
        state = factory.convert_state_dict(network, dict(state))
        if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
            state = factory.convert_to_custom_text_state_dict(state)
        own = network.state_dict()
        state = {
            key: value
            for key, value in state.items()
            if key in own
            or not (key.split(".")[-1] in _DROPPED_BUFFERS or key.startswith("text_decoder."))
        }
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


def fingerprint(network: nn.Module, configuration: object = None) -> str:
    """Return a hash of a model's configuration and of about 1000 values of every tensor.

    The hash is the same on every device.
    """
    digest = hashlib.sha256(repr(configuration).encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(network.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 1024)].double().cpu().numpy()
        digest.update(f"{name}{tuple(tensor.shape)}".encode() + sample.tobytes())
    return digest.hexdigest()[:32]
