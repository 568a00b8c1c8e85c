"""Embedding of sentences by a text tower, without computing the padding.

CLIP's text towers process a fixed context of usually 77 tokens; a class name has three to ten.
With causal attention, tokens after the end token do not affect its output. The sentences are
therefore sorted by length and truncated: the vectors are the same and computed several times
faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel


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
