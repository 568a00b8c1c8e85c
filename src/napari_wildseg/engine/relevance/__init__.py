"""Relevance of an image's places to class prompts: one module a method, chosen by name.

A method works in two steps. `RelevanceMethod.encode` is the network's forward pass: it looks at
the image alone, and what it leaves behind (`ViewEncoding`) is kept. `RelevanceMethod.relevance`
turns that and any text vectors into one map a class; it never runs the network again, so classes
can be added, renamed and removed at next to no cost.
"""

from __future__ import annotations

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
"""Method name -> ``module:class`` in this package; the order is the order of preference."""


@dataclass
class ViewEncoding:
    """What the forward pass of one view leaves behind; it depends on the image alone.

    Attributes
    ----------
    tensors : dict of str to torch.Tensor
        What the method's ``relevance`` needs, without a batch axis; the names are the method's own.
    features : list of torch.Tensor
        The network's local features, each ``(C, h, w)`` float32, for the refinement.
    embedding : torch.Tensor
        ``(D,)`` float32, the unit global image embedding, for suggestions.
    memo : dict of bytes to torch.Tensor
        What a method found out about texts it was asked for before; small, and never saved.
    """

    tensors: dict[str, Tensor]
    features: list[Tensor]
    embedding: Tensor
    memo: dict[bytes, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes held by all tensors."""
        held = [*self.tensors.values(), *self.features, self.embedding]
        return sum(t.numel() * t.element_size() for t in held)


class RelevanceMethod(Protocol):
    """A way to turn an image and text vectors into one map a class.

    Implementations are frozen dataclasses whose fields are the method's options, so that
    ``repr(method)`` says all that a cache key needs.
    """

    @property
    def name(self) -> str:
        """The name users choose it by."""

    def supports(self, model: CLIPModel) -> str | None:
        """Return None if the method works with the model's image tower, else say why not."""

    def encode(self, model: CLIPModel, pixels: Tensor) -> list[ViewEncoding]:
        """Run the image tower once.

        Parameters
        ----------
        model : CLIPModel
            A model that the method supports.
        pixels : torch.Tensor
            ``(B, 3, h, w)`` float32, scaled as ``(rgb / 255 - mean) / std``, any size.

        Returns
        -------
        list of ViewEncoding
            One for each of the B views.
        """

    def relevance(
        self, model: CLIPModel, encoding: ViewEncoding, text: Tensor, background: Tensor
    ) -> Tensor:
        """Compute one map a class from a kept encoding.

        Parameters
        ----------
        model : CLIPModel
            The model that made the encoding.
        encoding : ViewEncoding
            One view.
        text : torch.Tensor
            ``(K, D)`` unit rows, one a class.
        background : torch.Tensor
            ``(B, D)`` unit rows of background words (B may be 0); used where classes compete.

        Returns
        -------
        torch.Tensor
            ``(K, h', w')`` float32, not normalised; larger is more relevant.
        """


def method_names() -> tuple[str, ...]:
    """Names of all relevance methods, in order of preference."""
    return tuple(_METHODS)


def get_method(name: str | None, model: CLIPModel, **options: object) -> RelevanceMethod:
    """Choose a relevance method that works with a model.

    Parameters
    ----------
    name : str or None
        One of `method_names`, or None for the first that supports the model's image tower.
    model : CLIPModel
        The model to be used.
    **options
        Fields of the method, for example ``start_layer=-2`` of ``attention``.

    Raises
    ------
    InputError
        If there is no such method, or it does not work with the model's image tower.
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


def why_no_method(model: CLIPModel) -> str:
    """Say in one sentence why no method reads a model's image tower."""
    from napari_wildseg.engine.relevance.vit import vit_tower

    reason = vit_tower(model)
    return reason if isinstance(reason, str) else "no relevance method reads its image tower."
