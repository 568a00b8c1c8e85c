"""Identification of a checkpoint: its architecture and its activation (GELU or QuickGELU).

The tensor shapes determine the architecture, but not the activation. OpenAI's, MetaCLIP's and
DFN's weights were trained with QuickGELU, most others with GELU. With the wrong activation a
network still works, but less accurately. The activation is taken from the file, else from a known
file name, else assumed. Unless the file states it, a notice reports the assumption.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from torch import Tensor

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models.architecture import (
    Architecture,
    architecture_from_json,
    architecture_from_shapes,
    config_beside,
)
from napari_wildseg.engine.models.light_import import import_open_clip
from napari_wildseg.engine.models.weights.checkpoint import metadata
from napari_wildseg.engine.models.weights.transformers_folder import (
    MODEL_TYPES,
    architecture_of_folder,
    is_converted,
    kind_of,
)

_OPEN_CLIP_CONFIG = "open_clip_config.json"


def architecture_in(folder: Path) -> Architecture:
    """Read the architecture of a model folder in open_clip's or the transformers format."""
    config = folder / _OPEN_CLIP_CONFIG
    if config.is_file():
        found = architecture_from_json(config.read_text(encoding="utf-8"), folder.name)
        return replace(found, folder=folder)
    if kind_of(folder) is not None:
        return architecture_of_folder(folder, folder.name)
    raise InputError(
        f"{folder} has no {_OPEN_CLIP_CONFIG} and no config.json that names a model_type, so it is "
        "neither an open_clip model nor one of the transformers library."
    )


def identify_checkpoint(path: Path, state: dict[str, Tensor]) -> tuple[Architecture, bool]:
    """Identify the architecture of a checkpoint file; return also whether it is an assumption.

    Sources, in this order: ``open_clip_config`` in the metadata of a safetensors file,
    ``<file>.json`` or ``open_clip_config.json`` beside it, ``config.json`` of the transformers
    library beside it, the shapes of its tensors.
    """
    if path.suffix.lower() == ".safetensors":
        config = metadata(path).get("open_clip_config")
        if config:
            return architecture_from_json(config, path.name), False
    if is_converted(state):
        if kind_of(path.parent) in MODEL_TYPES:
            return architecture_of_folder(path.parent, path.name), False
        raise WildsegError(
            f"{path.name} holds a model of the transformers library: put its config.json beside it."
        )
    found = config_beside(path)
    if found is not None:
        return replace(found, folder=path.parent), False
    found = architecture_from_shapes(state, path.name)
    if found is None:
        raise WildsegError(
            f"{path.name} has the tensors of no architecture known here; say which it is, "
            f"as in ViT-B-16:{path.name}, or put its open_clip_config.json beside it."
        )
    return found, True


def choose_activation(
    architecture: Architecture, path: Path, said: bool | None, *, assumed: bool
) -> str | None:
    """Choose GELU or QuickGELU in an architecture's configuration; return a notice or None."""
    if said is not None:
        architecture.config["quick_gelu"] = said
        return None
    if not assumed:
        return None
    by_name = _quick_gelu_by_name(path.name)
    quick = bool(by_name)
    architecture.config["quick_gelu"] = quick
    used, other = ("QuickGELU", "plain GELU") if quick else ("plain GELU", "QuickGELU")
    why = (
        "as the published file of this name does"
        if by_name is not None
        else "which OpenAI's, MetaCLIP's and DFN's weights do not fit"
    )
    plain = architecture.base or "NAME"
    named = plain if quick else f"{plain}-quickgelu"
    return (
        f"{path.name} does not say which activation it was trained with: {used} is assumed, {why}; "
        f'for {other} give the model as "{named}:{path.name}".'
    )


def _quick_gelu_by_name(file: str) -> bool | None:
    """Return whether a published checkpoint of this name needs QuickGELU; None if unknown."""
    import_open_clip()
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    found = set()
    for model, tag in list_pretrained():
        entry = get_pretrained_cfg(model, tag)
        address = urlsplit(entry.get("url") or "").path
        if PurePosixPath(address).name == file:
            found.add(bool(entry.get("quick_gelu")) or "quickgelu" in model)
    return found.pop() if len(found) == 1 else None
