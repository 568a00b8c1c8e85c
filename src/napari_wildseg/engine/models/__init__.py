"""Models: `load_model` loads an image-text model that is named by a string."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.models.light_import import import_open_clip
from napari_wildseg.engine.models.spec import STARTER, Spec, parse_spec

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel
    from napari_wildseg.engine.models.weights.checkpoint import Weights
    from napari_wildseg.engine.models.weights.download import Files

__all__ = ["STARTER", "load_model"]


def load_model(
    spec: str = STARTER, *, device: str = "auto", cache_dir: str | os.PathLike[str] | None = None
) -> CLIPModel:
    """Load an image-text model from local files; nothing is downloaded.

    Parameters
    ----------
    spec : str
        One of

        * ``starter``, the bundled model;
        * ``NAME/TAG`` of open_clip's registry, such as ``ViT-B-16/openai``; OpenAI's own spelling
          (``ViT-B/16``) means OpenAI's weights;
        * ``hf-hub:ORGANISATION/NAME``, a model of the Hugging Face Hub in open_clip's format or
          the transformers library's (CLIP, SigLIP, SigLIP 2);
        * ``local-dir:DIRECTORY`` (or the directory), with ``open_clip_config.json`` or the
          transformers library's ``config.json``, a checkpoint and, where the model needs one, the
          tokenizer's files;
        * a checkpoint file: ``.safetensors``, a file that torch reads as weights only, or a
          TorchScript archive (OpenAI's ``.pt`` files). Its architecture is read from
          ``open_clip_config`` in its metadata, from ``<file>.json``, ``open_clip_config.json`` or
          ``config.json`` beside it, or deduced from the shapes of its tensors. ``NAME:FILE``
          names it explicitly (``ViT-B-16-quickgelu:weights.pt``).
    device : {"auto", "cpu", "cuda", "mps"} or str
        Device of the model; ``auto`` selects a graphics card if there is one.
    cache_dir : path, optional
        Folder of downloaded models. Default: ``WILDSEG_CACHE``, else the user's cache folder.

    Returns
    -------
    CLIPModel

    Raises
    ------
    InputError
        If the string names no known model.
    WildsegError
        If the model is not on this machine, is not supported, or its files are damaged.
    """
    import_open_clip()
    from napari_wildseg.engine.models.clip_model import PHOTO_TEMPLATES, CLIPModel, choose_device

    parsed = parse_spec(spec)
    place = choose_device(device)
    if parsed.kind == "starter":
        from napari_wildseg.engine.models import starter

        return starter.load_starter(place)

    from napari_wildseg.engine.models.architecture import network, unsupported
    from napari_wildseg.engine.models.tokenizers import tokenizer_digest, tokenizer_for, uses_files
    from napari_wildseg.engine.models.weights.checkpoint import (
        fingerprint,
        load_weights,
        read_weights,
    )
    from napari_wildseg.engine.models.weights.transformers_folder import converted, is_converted

    weights: Weights | None = None
    notice: str | None = None
    if parsed.kind == "file":
        files, weights, notice = _identified_file(parsed)
    else:
        files = _files(parsed, cache_dir)
    architecture = files.architecture
    reason = unsupported(architecture)
    if reason is not None:
        raise WildsegError(reason)
    tokenizer = tokenizer_for(architecture, files.tokenizer)
    if weights is None:
        weights = read_weights(files.weights)
        if weights.quick_gelu is not None:
            architecture.config["quick_gelu"] = weights.quick_gelu
    net = network(architecture)
    state = weights.tensors
    if is_converted(state):
        state = converted(state, architecture)
    load_weights(net, state, architecture.name, files.weights.name)
    words = tokenizer_digest(files.tokenizer) if uses_files(architecture) else ""
    signature = fingerprint(net, (architecture.signature, words))
    return CLIPModel(
        name=parsed.text,
        network=net.to(place),
        tokenizer=tokenizer,
        mean=architecture.mean,
        std=architecture.std,
        templates=architecture.templates or PHOTO_TEMPLATES,
        device=place,
        fingerprint=signature,
        notices=() if notice is None else (notice,),
    )


def _files(spec: Spec, cache_dir: str | os.PathLike[str] | None) -> Files:
    """Find the local files of a directory or of a model of the Hub."""
    from napari_wildseg.engine.models.architecture import unsupported
    from napari_wildseg.engine.models.weights.checkpoint import checkpoint_in
    from napari_wildseg.engine.models.weights.download import Files, architecture_of, find_files
    from napari_wildseg.engine.models.weights.identify import architecture_in

    if spec.path is not None:
        architecture = architecture_in(spec.path)
        return Files(architecture, checkpoint_in(spec.path), spec.path)
    files = find_files(spec, cache_dir)
    if files is not None:
        return files
    known = architecture_of(spec, cache_dir)
    reason = None if known is None else unsupported(known)
    raise WildsegError(
        reason
        or f'"{spec.text}" is not on this machine; download it with '
        f"`wildseg models --download {spec.text}`."
    )


def _identified_file(spec: Spec) -> tuple[Files, Weights, str | None]:
    """Read a checkpoint file and identify its architecture; return also a notice or None."""
    from napari_wildseg.engine.models.architecture import builtin_architecture
    from napari_wildseg.engine.models.weights.checkpoint import read_weights
    from napari_wildseg.engine.models.weights.download import Files
    from napari_wildseg.engine.models.weights.identify import choose_activation, identify_checkpoint

    assert spec.path is not None
    weights = read_weights(spec.path)
    if spec.architecture is not None:
        architecture, assumed = builtin_architecture(spec.architecture), False
        architecture.folder = spec.path.parent
    else:
        architecture, assumed = identify_checkpoint(spec.path, weights.tensors)
    notice = choose_activation(architecture, spec.path, weights.quick_gelu, assumed=assumed)
    return Files(architecture, spec.path, spec.path.parent), weights, notice
