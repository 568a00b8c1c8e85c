"""What a checkpoint is of: its architecture, and which GELU it needs.

The shapes of tensors tell the architecture, but not the activation. OpenAI's weights, MetaCLIP's
and DFN's were trained with QuickGELU, others with the plain one; with the wrong one a network still
answers, but worse. What the file says is used; a known name of a file comes next; anything else is
an assumption. Unless the file says it, a notice tells what was assumed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from torch import Tensor

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models.architecture import Architecture, beside, deduce, from_json
from napari_wildseg.engine.models.light_import import import_open_clip
from napari_wildseg.engine.models.weights.checkpoint import metadata
from napari_wildseg.engine.models.weights.transformers_folder import (
    KINDS,
    architecture_of_folder,
    is_converted,
    kind_of,
)

OPEN_CLIP_CONFIG = "open_clip_config.json"


def architecture_in(folder: Path) -> Architecture:
    """Architecture of a model folder in open_clip's form or the transformers library's."""
    config = folder / OPEN_CLIP_CONFIG
    if config.is_file():
        found = from_json(config.read_text(encoding="utf-8"), folder.name)
        return replace(found, folder=folder)
    if kind_of(folder) is not None:
        return architecture_of_folder(folder, folder.name)
    raise InputError(
        f"{folder} has no {OPEN_CLIP_CONFIG} and no config.json that names a model_type, so it is "
        "neither an open_clip model nor one of the transformers library."
    )


def describe(path: Path, state: dict[str, Tensor]) -> tuple[Architecture, bool]:
    """Find out which architecture a checkpoint file is of.

    In this order: ``open_clip_config`` in the metadata of a safetensors file, ``<file>.json`` or
    ``open_clip_config.json`` beside it, ``config.json`` of the transformers library beside it, the
    shapes of its tensors.
    """
    if path.suffix.lower() == ".safetensors":
        config = metadata(path).get("open_clip_config")
        if config:
            return from_json(config, path.name), False
    if is_converted(state):
        if kind_of(path.parent) in KINDS:
            return architecture_of_folder(path.parent, path.name), False
        raise WildsegError(
            f"{path.name} holds a model of the transformers library: put its config.json beside it."
        )
    found = beside(path)
    if found is not None:
        return replace(found, folder=path.parent), False
    found = deduce(state, path.name)
    if found is None:
        raise WildsegError(
            f"{path.name} has the tensors of no architecture known here; say which it is, "
            f"as in ViT-B-16:{path.name}, or put its open_clip_config.json beside it."
        )
    return found, True


def settle_activation(
    architecture: Architecture, path: Path, said: bool | None, *, assumed: bool
) -> str | None:
    """Decide between GELU and QuickGELU, in the configuration of an architecture."""
    if said is not None:
        architecture.config["quick_gelu"] = said
        return None
    if not assumed:
        return None
    by_name = known_by_name(path.name)
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


def known_by_name(file: str) -> bool | None:
    """Whether a published checkpoint of this file name needs QuickGELU; None if none is known."""
    import_open_clip()
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    found = set()
    for model, tag in list_pretrained():
        entry = get_pretrained_cfg(model, tag)
        address = urlsplit(entry.get("url") or "").path
        if PurePosixPath(address).name == file:
            found.add(bool(entry.get("quick_gelu")) or "quickgelu" in model)
    return found.pop() if len(found) == 1 else None
