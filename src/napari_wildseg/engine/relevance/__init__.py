"""Relevance methods: relevance maps of an image for class prompts; one module per method.

A method has two steps. `RelevanceMethod.encode` runs the image tower; its result (`ViewEncoding`)
depends on the image alone and is kept. `RelevanceMethod.relevance` computes one relevance map per
class from the encoding and the text vectors, without running the network again. Adding or renaming
a class is therefore cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_wildseg.engine.models.clip_model import CLIPModel

_METHODS = {
    "clip-es": "clip_es:ClipESRelevance",
    "attention": "attention:AttentionRelevance",
    "dense": "dense:DenseRelevance",
    "cam": "cam:CamRelevance",
}
"""Method name -> ``module:class`` in this package, in order of preference."""


@dataclass
class ViewEncoding:
    """Encoding of one view by the image tower; it depends on the image alone.

    Attributes
    ----------
    tensors : dict of str to torch.Tensor
        Tensors for the method's ``relevance``, without batch axis; each method chooses the names.
    features : list of torch.Tensor
        Local features of the network, each ``(C, h, w)`` float32, for the refinement.
    embedding : torch.Tensor
        ``(D,)`` float32, the unit global image embedding, for suggestions.
    memo : dict of bytes to torch.Tensor
        Cache of intermediate results per text; small, and never saved.
    """

    tensors: dict[str, Tensor]
    features: list[Tensor]
    embedding: Tensor
    memo: dict[bytes, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.numel() * t.element_size() for t in self.named().values())

    def named(self) -> dict[str, Tensor]:
        """Return all tensors by name, for a file."""
        features = {f"feature/{i}": feature for i, feature in enumerate(self.features)}
        tensors = {f"tensor/{name}": tensor for name, tensor in self.tensors.items()}
        return {**tensors, **features, "embedding/": self.embedding}

    @classmethod
    def from_tensors(cls, named: Mapping[str, Tensor]) -> ViewEncoding:
        """Return the encoding with these tensors, of which some may be left out."""
        import torch

        of: dict[str, dict[str, Tensor]] = {"tensor": {}, "feature": {}, "embedding": {}}
        for name, tensor in named.items():
            kind, _, rest = name.partition("/")
            of[kind][rest] = tensor
        features = [of["feature"][number] for number in sorted(of["feature"], key=int)]
        return cls(of["tensor"], features, of["embedding"].get("", torch.zeros(0)))


class RelevanceMethod(Protocol):
    """A method that computes one relevance map per class.

    Implementations are frozen dataclasses whose fields are the method's options, so that
    ``repr(method)`` is a complete cache key.
    """

    @property
    def name(self) -> str:
        """Name of the method, as users give it."""

    def supports(self, model: CLIPModel) -> str | None:
        """Return None if the method supports the model's image tower, else the reason."""

    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower on a batch of views.

        Parameters
        ----------
        model : CLIPModel
            A model that the method supports.
        pixels : torch.Tensor
            ``(B, 3, h, w)`` float32, scaled as ``(rgb / 255 - mean) / std``, any size.

        Returns
        -------
        list of ViewEncoding
            One per view.
        """

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one relevance map per class from an encoding.

        Parameters
        ----------
        model : CLIPModel
            The model that computed the encoding.
        encoding : ViewEncoding
            One view.
        text : torch.Tensor
            ``(K, D)`` unit rows, one per class.
        background : torch.Tensor
            ``(B, D)`` unit rows of background words, which compete with the classes; B may be 0.

        Returns
        -------
        torch.Tensor
            ``(K, h', w')`` float32, not normalised; larger values are more relevant.
        """


def get_method(name: str | None, model: CLIPModel, **options: object) -> RelevanceMethod:
    """Return a relevance method that supports a model.

    Parameters
    ----------
    name : str or None
        A relevance method, or None for the first that supports the model's image tower.
    model : CLIPModel
        The model.
    **options
        Fields of the method, for example ``start_layer=-2`` of ``attention``.

    Raises
    ------
    InputError
        If there is no such method, or it does not support the model's image tower.
    """
    require(name, (str, type(None)), "relevance method", "its name, or None")
    if name is not None and name not in _METHODS:
        raise InputError(
            f'There is no relevance method "{name}"; choose one of {", ".join(_METHODS)}.'
        )
    reasons = []
    for candidate in _METHODS if name is None else (name,):
        module, cls = _METHODS[candidate].split(":")
        try:
            method: RelevanceMethod = getattr(import_module(f"{__name__}.{module}"), cls)(**options)
        except TypeError as error:
            if name is None:
                continue
            raise InputError(f'The method "{name}" has no such option: {error}.') from None
        reason = method.supports(model)
        if reason is None:
            return method
        reasons.append(reason)
    raise InputError(" ".join(reasons) or f"No relevance method takes the options {options}.")


def unsupported_reason(model: CLIPModel) -> str:
    """Return why no method supports a model's image tower, as one sentence."""
    from napari_wildseg.engine.relevance.vit import vit_tower

    reason = vit_tower(model)
    return reason if isinstance(reason, str) else "no relevance method reads its image tower."
