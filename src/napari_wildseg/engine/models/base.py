"""One open_clip model with everything the method needs to use it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.errors import InputError, WildsegError

PHOTO_TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a clean origami {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "itap of a {}.",
    "a {} in a scene.",
)
"""Templates whose text embeddings are averaged, a subset of those of Radford et al. 2021 (CLIP)."""


def choose_device(name: str) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the fastest that is there.

    Raises
    ------
    InputError
        If there is no such device on this machine.
    """
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
    """Have glibc return freed memory to the system; elsewhere this happens by itself."""
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
        The model string it was loaded by.
    network : torch.nn.Module
        ``open_clip.CLIP`` or ``open_clip.CustomTextCLIP``; no parameter requires a gradient.
    tokenizer : callable
        ``list[str] -> (P, context) int64``.
    mean, std : tuple of float
        The network's input is ``(rgb / 255 - mean) / std``.
    templates : tuple of str
        Sentences with ``{}`` for the name; their embeddings are averaged.
    device : torch.device
        Where the network lives.
    fingerprint : str
        Identifies the weights; part of every cache key.
    """

    name: str
    network: torch.nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    templates: tuple[str, ...]
    device: torch.device
    fingerprint: str
    _text: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def released(self) -> bool:
        """Whether `release` has given the weights back."""
        return self.device.type != "meta" and self.network.logit_scale.device.type == "meta"

    def release(self) -> None:
        """Give the memory of the weights back; the model cannot be used any more."""
        self.network.to("meta")
        self._text.clear()
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
        """Factor of the cosines in the model's own softmax."""
        return float(self.network.logit_scale.exp())  # type: ignore[operator]

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str], *, batch: int = 256) -> Tensor:
        """Embed prompts, averaging over the model's templates.

        Parameters
        ----------
        prompts : sequence of str
            P names or phrases.
        batch : int
            Sentences embedded at a time.

        Returns
        -------
        torch.Tensor
            ``(P, D)`` float32 unit rows on the model's device.
        """
        self._check_not_released()
        missing = [p for p in dict.fromkeys(prompts) if p not in self._text]
        sentences = [template.replace("{}", p) for p in missing for template in self.templates]
        parts = [
            F.normalize(
                self.network.encode_text(  # type: ignore[operator]
                    self.tokenizer(sentences[i : i + batch]).to(self.device)
                ).float(),
                dim=-1,
            )
            for i in range(0, len(sentences), batch)
        ]
        if parts:
            rows = torch.cat(parts).reshape(len(missing), len(self.templates), -1).mean(1)
            self._text.update(zip(missing, F.normalize(rows, dim=-1), strict=True))
        return torch.stack([self._text[p] for p in prompts])
