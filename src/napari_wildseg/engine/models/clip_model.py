"""`CLIPModel`: an open_clip model with its tokenizer, prompt templates and text vectors.

CLIP's text towers process a fixed context of usually 77 tokens; a class name has three to ten.
With causal attention, tokens after the end token do not affect its output. The sentences are
therefore sorted by length and truncated: the vectors are the same and computed several times
faster.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.models.packed import PackedLinears


@torch.no_grad()
def embed_sentences(model: CLIPModel, sentences: list[str], *, batch: int = 256) -> Tensor:
    """Embed sentences without templates.

    Returns ``(P, D)`` float32 unit rows on the model's device.
    """
    found: Tensor | None = None
    cut = _cuts_padding(model.network)
    for start in range(0, len(sentences), 64 * batch):
        tokens = model.tokenizer(sentences[start : start + 64 * batch])
        order = tokens.argmax(1).argsort(stable=True) if cut else torch.arange(len(tokens))
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            part = tokens[chosen]
            if cut:
                part = part[:, : int(part.argmax(1).max()) + 1]
            rows = F.normalize(_embed(model.network, part.to(model.device), cut).float(), dim=-1)
            if found is None:
                found = rows.new_empty(len(sentences), rows.shape[1])
            found[(start + chosen).to(rows.device)] = rows
    assert found is not None
    return found


def _cuts_padding(network: Any) -> bool:
    """Return whether the tower is open_clip's causal one, read out at the largest token id."""
    from open_clip.model import CLIP

    return (
        isinstance(network, CLIP)
        and getattr(network, "text_pool_type", "argmax") == "argmax"
        and network.attn_mask is not None
    )


def _embed(network: Any, tokens: Tensor, cut: bool) -> Tensor:
    length = tokens.shape[1]
    if not cut or length == network.attn_mask.shape[0]:
        whole: Tensor = network.encode_text(tokens)
        return whole
    # open_clip's CLIP.encode_text, on the first tokens only.
    dtype = network.transformer.get_cast_dtype()
    x = network.token_embedding(tokens).to(dtype) + network.positional_embedding[:length].to(dtype)
    x = network.transformer(x, attn_mask=network.attn_mask[:length, :length])
    x = network.ln_final(x)
    x = x[torch.arange(len(x), device=x.device), tokens.argmax(1)]
    projection = network.text_projection
    if projection is None:
        return x  # type: ignore[no-any-return]
    read: Tensor = projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
    return read


PHOTO_TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a clean origami {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "itap of a {}.",
    "a {} in a scene.",
)
"""Templates whose text embeddings are averaged. Five are from the 80 ImageNet templates of Radford
et al. 2021 (CLIP). "a clean origami" is from CLIP-ES (Lin et al. 2023). "a {} in a scene." follows
ViLD's "There is a {} in the scene." (Gu et al. 2022)."""


_MAX_LISTS = 4
"""Number of vocabularies whose text vectors are kept; the longest takes 100 MB."""


def choose_device(name: str) -> torch.device:
    """Return a torch device by name; ``auto`` selects a graphics card if there is one."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, found in there.items() if found), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f'There is no device "{name}"; choose auto, cpu, cuda or mps.') from None
    if device.type != "cpu" and not there.get(device.type, False):
        raise InputError(f'This machine has no device "{name}" that torch can use; try cpu.')
    return device


def _trim_heap() -> None:
    """Return freed memory to the system; glibc does not do so by itself."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


@dataclass
class CLIPModel:
    """An image-text model of open_clip, in evaluation mode on one device.

    Attributes
    ----------
    name : str
        The model string.
    network : torch.nn.Module
        ``open_clip.CLIP`` or ``open_clip.CustomTextCLIP``; no parameter requires a gradient.
    tokenizer : callable
        ``list[str] -> (P, context) int64``.
    mean, std : tuple of float
        The network's input is ``(rgb / 255 - mean) / std``.
    templates : tuple of str
        Prompt templates with ``{}`` for the name; their embeddings are averaged.
    device : torch.device
        Device of the network.
    fingerprint : str
        Identifies the weights and the configuration; part of every cache key.
    concepts : torch.Tensor or None
        ``(C, D)`` unit rows of the classes that the image tower was trained on, for a tower
        trained on a closed list of classes; None for towers trained on captions.
    bfloat16 : tuple of str
        Parts of a convolutional image tower that may compute in bfloat16 (`models.fused`).
    notices : tuple of str
        Messages about assumptions made when the model was loaded.
    linears : PackedLinears
        Context that speeds up a transformer's forward pass on a CPU.
    """

    name: str
    network: torch.nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    templates: tuple[str, ...]
    device: torch.device
    fingerprint: str
    concepts: Tensor | None = field(default=None, repr=False)
    bfloat16: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    linears: PackedLinears = field(default_factory=PackedLinears, repr=False)
    _text: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _lists: dict[tuple[str, ...], Tensor] = field(default_factory=dict, repr=False)

    @property
    def released(self) -> bool:
        """Whether `release` freed the weights."""
        return self.device.type != "meta" and self.network.logit_scale.device.type == "meta"

    def release(self) -> None:
        """Free the memory of the weights; the model cannot be used afterwards."""
        self.network.to("meta")
        self._text.clear()
        self._lists.clear()
        self.linears.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()
        _trim_heap()

    def _check_not_released(self) -> None:
        if self.released:
            raise WildsegError(f'The model "{self.name}" was released; load it again.')

    @property
    def visual(self) -> torch.nn.Module:
        """The image tower."""
        self._check_not_released()
        return self.network.visual  # type: ignore[return-value]

    @property
    def logit_scale(self) -> float:
        """Factor of the cosine similarities in the model's softmax."""
        return float(self.network.logit_scale.exp())  # type: ignore[operator]

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str], *, batch: int = 256) -> Tensor:
        """Embed prompts, averaging over the model's templates.

        Parameters
        ----------
        prompts : sequence of str
            P class names or phrases.
        batch : int
            Number of sentences per forward pass.

        Returns
        -------
        torch.Tensor
            ``(P, D)`` float32 unit rows on the model's device.
        """
        self._check_not_released()
        missing = [p for p in dict.fromkeys(prompts) if p not in self._text]
        if missing:
            self._text.update(zip(missing, self._ensemble(missing, batch), strict=True))
        return torch.stack([self._text[p] for p in prompts])

    def encode_list(self, names: Sequence[str]) -> Tensor:
        """Embed a long list of names that is needed repeatedly; see `encode_text`.

        Returns
        -------
        torch.Tensor
            ``(P, D)`` float32 unit rows on the model's device; do not modify them.
        """
        self._check_not_released()
        key = tuple(names)
        if key not in self._lists:
            if len(self._lists) >= _MAX_LISTS:
                del self._lists[next(iter(self._lists))]
            self._lists[key] = self._ensemble(key)
        return self._lists[key]

    def store_list(self, names: Sequence[str], rows: Tensor) -> None:
        """Store rows that `encode_list` returned in an earlier process.

        Parameters
        ----------
        names : sequence of str
            P names.
        rows : torch.Tensor
            ``(P, D)``.
        """
        self._lists[tuple(names)] = F.normalize(rows.to(self.device).float(), dim=-1)

    def has_list(self, names: Sequence[str]) -> bool:
        """Whether the vectors of this list are stored."""
        return tuple(names) in self._lists

    def _ensemble(self, prompts: Sequence[str], batch: int = 256) -> Tensor:
        """Average the templates' embeddings; return ``(P, D)`` unit rows."""
        sentences = [template.replace("{}", p) for p in prompts for template in self.templates]
        rows = embed_sentences(self, sentences, batch=batch)
        rows = rows.reshape(len(prompts), len(self.templates), -1).mean(1)
        return F.normalize(rows, dim=-1)
