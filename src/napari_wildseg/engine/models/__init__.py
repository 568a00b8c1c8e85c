"""Models: one string names a model, `load_model` makes it ready to use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.light_import import import_open_clip
from napari_wildseg.engine.models.spec import STARTER, Spec, parse_spec

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wildseg.engine.models.base import CLIPModel
    from napari_wildseg.engine.models.download import Files

__all__ = ["STARTER", "load_model"]


def load_model(
    spec: str = STARTER,
    *,
    device: str = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
) -> CLIPModel:
    """Load an image-text model. Nothing is downloaded here.

    Parameters
    ----------
    spec : str
        One of

        * ``starter``, the bundled model;
        * ``NAME/TAG`` of open_clip's registry, as ``ViT-B-16/openai``;
        * ``hf-hub:ORGANISATION/NAME``, a model of the Hugging Face Hub in open_clip's form;
        * ``local-dir:DIRECTORY`` (or the directory), with ``open_clip_config.json``, a checkpoint
          and, where the model needs one, the files of its tokenizer;
        * a checkpoint file (``.safetensors``, or one that torch reads as weights only). Its
          architecture is taken from ``open_clip_config`` in its metadata, from ``<file>.json`` or
          ``open_clip_config.json`` beside it, or from the shapes of its tensors; ``NAME:FILE``
          says it outright (``ViT-B-16-quickgelu:weights.pt``).
    device : {"auto", "cpu", "cuda", "mps"} or str
        Where to put it; ``auto`` takes a graphics card if there is one.
    cache_dir : path, optional
        Folder of the downloaded models; else ``WILDSEG_CACHE``, else the user's cache folder.

    Returns
    -------
    CLIPModel

    Raises
    ------
    InputError
        If the string names nothing that can be loaded.
    WildsegError
        If the model is not on this machine, is not supported, or its files are damaged.
    """
    import_open_clip()
    from napari_wildseg.engine.models.base import PHOTO_TEMPLATES, CLIPModel, choose_device

    parsed = parse_spec(spec)
    place = choose_device(device)
    if parsed.kind == "starter":
        from napari_wildseg.engine.models import starter

        return starter.load(place)

    from napari_wildseg.engine.models.architecture import network, unsupported
    from napari_wildseg.engine.models.checkpoint import fill, fingerprint, read_weights
    from napari_wildseg.engine.models.tokenizers import tokenizer_for

    if parsed.kind == "file":
        files, state = _described_file(parsed)
    else:
        files, state = _files(parsed, cache_dir), None
    reason = unsupported(files.architecture)
    if reason is not None:
        raise WildsegError(reason)
    tokenizer = tokenizer_for(files.architecture, files.tokenizer)
    if state is None:
        state = read_weights(files.weights)
    net = network(files.architecture)
    fill(net, state, files.architecture.name, files.weights.name)
    signature = fingerprint(net)
    return CLIPModel(
        name=parsed.text,
        network=net.to(place),
        tokenizer=tokenizer,
        mean=files.architecture.mean,
        std=files.architecture.std,
        templates=files.architecture.templates or PHOTO_TEMPLATES,
        device=place,
        fingerprint=signature,
    )


def _files(spec: Spec, cache_dir: str | os.PathLike[str] | None) -> Files:
    """Find the files of a directory or of a model of the Hub."""
    from napari_wildseg.engine.models.architecture import unsupported
    from napari_wildseg.engine.models.checkpoint import checkpoint_in
    from napari_wildseg.engine.models.download import (
        CONFIG,
        Files,
        architecture_of,
        find_files,
    )

    if spec.path is not None:
        from napari_wildseg.engine.models.architecture import from_json

        config = spec.path / CONFIG
        if not config.is_file():
            raise InputError(f"{spec.path} has no {CONFIG}, so it is not an open_clip model.")
        architecture = from_json(config.read_text(encoding="utf-8"), spec.path.name)
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


def _described_file(spec: Spec) -> tuple[Files, dict[str, Tensor]]:
    """Read a checkpoint file and find out what it is of."""
    from napari_wildseg.engine.models.architecture import built_in
    from napari_wildseg.engine.models.checkpoint import describe, read_weights
    from napari_wildseg.engine.models.download import Files

    assert spec.path is not None
    state = read_weights(spec.path)
    if spec.architecture is not None:
        architecture = built_in(spec.architecture)
    else:
        architecture = describe(spec.path, state)
    return Files(architecture, spec.path, spec.path.parent), state
