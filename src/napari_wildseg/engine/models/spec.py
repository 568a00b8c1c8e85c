"""Parsing of model strings."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.folders import folder_error
from napari_wildseg.engine.models.light_import import import_open_clip

STARTER = "starter"
CHECKPOINT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Suffixes of checkpoint files, all of which are read without executing anything in them."""


@dataclass(frozen=True)
class Spec:
    """A parsed model string.

    Attributes
    ----------
    mean, std : tuple of float or None
        Input normalisation that the registry lists for a tag.
    """

    text: str  # the string as it was given
    # "starter", "tag" (``name/tag`` of open_clip's registry), "hub", "folder" or "file".
    kind: str
    architecture: str | None = None  # built-in open_clip architecture, if the string names one
    repository: str | None = None  # Hugging Face Hub repository of the weights
    # File names to search the repository for, in order of preference.
    weights: tuple[str, ...] = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    path: Path | None = None  # the directory or file
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    quick_gelu: bool = False  # the weights were trained with OpenAI's approximation of GELU


def parse_spec(text: str) -> Spec:
    """Parse a model string."""
    text = _openai_to_open_clip(text.strip())
    if text == STARTER:
        return Spec(text, "starter")
    if text.startswith("hf-hub:"):
        repository = text.removeprefix("hf-hub:").strip("/")
        if repository.count("/") != 1:
            raise InputError(f'"{text}" should look like hf-hub:ORGANISATION/NAME.')
        return Spec(text, "hub", repository=repository)
    if text.startswith("local-dir:"):
        return _folder(text, Path(text.removeprefix("local-dir:")).expanduser())
    name, colon, rest = text.partition(":")
    if colon and name in _architectures():
        return _file(text, Path(rest).expanduser(), name)
    path = Path(text).expanduser()
    if text and path.is_dir():
        return _folder(text, path)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES or (text and path.is_file()):
        return _file(text, path, None)
    return _tag(text)


_SLASHED = re.compile(r"(ViT-[A-Za-z]+)/(\d+)(?:@(\d+)px)?(?=$|[-/:])")
_OPENAI = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")


def _openai_to_open_clip(text: str) -> str:
    """Replace OpenAI's model names (``ViT-B/16``, ``ViT-L/14@336px``) by open_clip's.

    Without a tag, OpenAI's name means OpenAI's weights.
    """
    found = _SLASHED.match(text)
    if found is None or Path(text).expanduser().exists():
        return text
    name = "-".join(part for part in found.groups() if part)
    rest = text[found.end() :]
    return f"{name}/openai" if not rest and name in _OPENAI else name + rest


def _architectures() -> list[str]:
    return import_open_clip().list_models()  # type: ignore[no-any-return]


def _folder(text: str, path: Path) -> Spec:
    if not path.is_dir():
        raise InputError(f"{folder_error(path)}.")
    return Spec(text, "folder", path=path)


def _file(text: str, path: Path, architecture: str | None) -> Spec:
    if not path.is_file():
        raise InputError(f"There is no checkpoint file {path}.")
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        raise InputError(
            f"{path.name} is not a checkpoint that can be read safely; its name should end in "
            f"{', '.join(CHECKPOINT_SUFFIXES)}."
        )
    return Spec(text, "file", architecture=architecture, path=path)


def _tag(text: str) -> Spec:
    name, _, tag = text.partition("/")
    if name not in _architectures():
        near = difflib.get_close_matches(name, [STARTER, *_architectures()], 3, 0.5)
        hint = f" Names that look like it: {', '.join(near)}." if near else ""
        if near and _same_sizes(near[0], name):
            hint = f' Did you mean "{near[0]}"?'
        raise InputError(
            f'There is no model "{text}": it is neither a file or directory here nor a model that '
            f"open_clip knows.{hint}"
        )
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    registered: dict[str, Any] = get_pretrained_cfg(name, tag) if tag else {}
    if not registered.get("hf_hub"):
        tags = list_pretrained_tags_by_model(name)
        choices = ", ".join(f"{name}/{t}" for t in tags[:6]) + (", ..." if len(tags) > 6 else "")
        raise InputError(
            f'"{text}" needs the name of its weights: {choices}.'
            if tags
            else f'open_clip has no weights for "{name}"; give a checkpoint as {name}:FILE.'
        )
    repository, _, file = registered["hf_hub"].rpartition("/")
    weights = Spec.weights
    if file:
        weights = (str(Path(file).with_suffix(".safetensors")), file)
    return Spec(
        text,
        "tag",
        architecture=name,
        repository=repository,
        weights=weights,
        mean=_triple(registered["mean"]),
        std=_triple(registered["std"]),
        quick_gelu=bool(registered.get("quick_gelu", False)),
    )


def _same_sizes(name: str, other: str) -> bool:
    """Return whether the numbers in two names agree, so that one may be a typing error.

    ``ViT-B-161`` may mean ``ViT-B-16``; ``ViT-B-16`` does not mean ``ViT-B-32``.
    """
    ours, theirs = (re.findall(r"\d+", text) for text in (name, other))
    return len(ours) == len(theirs) and all(
        a.startswith(b) or b.startswith(a) for a, b in zip(ours, theirs, strict=True)
    )


def _triple(values: Any) -> tuple[float, float, float]:
    r, g, b = (float(v) for v in values)
    return r, g, b
