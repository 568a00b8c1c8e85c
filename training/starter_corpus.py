"""The texts the starter's text tower learns from, and their teacher vectors (training only)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer
from starter_mixtures import TABLE
from starter_teacher import STUFF, THINGS, Teacher
from timm.data import ImageNetInfo
from torch import Tensor

ADJECTIVES = tuple(
    """
    red green blue black white yellow brown grey orange pink purple small big large little old new
    young wooden metal plastic dark bright wet dirty broken open empty striped wild baby tall round
    shiny fluffy rusty ripe fresh sitting standing running flying sleeping
    """.split()  # noqa: SIM905 - fifty quoted words are harder to read
)
FRAMES = (
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of the {}.",
    "photo of {}",
    "close-up of a {}",
    "picture of {}",
    "many {}",
    "my {}",
    "one {}",
    "some {}",
    "part of a {}",
)
LINKS = (
    "{} on {}",
    "{} in {}",
    "{} with {}",
    "{} near the {}",
    "{} and {}",
    "{} of {}",
    "{} under a {}",
    "a {} next to a {}",
    "{} riding a {}",
    "{} holding a {}",
    "{} wearing {}",
)


@dataclass
class Corpus:
    """Texts, their vectors (N, 1280) float16, the teacher's confidence, and sampling weights."""

    texts: list[str]
    vectors: Tensor
    confidence: Tensor
    weights: Tensor


def table_names() -> list[str]:
    """Every name of the hand-written table."""
    lines = [x for x in TABLE.strip().splitlines() if " : " in x and not x.startswith("#")]
    return [n.partition("#")[0].strip() for x in lines for n in x.partition(" : ")[0].split("|")]


def plural(name: str) -> str:
    """A regular plural."""
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and len(name) > 1 and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def bpe_words() -> list[str]:
    """Whole alphabetic words of CLIP's BPE vocabulary, the commonest first."""
    tokens = SimpleTokenizer().encoder
    return [t[:-4] for t in tokens if t.endswith("</w>") and t[:-4].isalpha() and t.isascii()][52:]


def gather_names(teacher: Teacher) -> dict[str, float]:
    """Names and how often each is to be seen."""
    names: dict[str, float] = {}

    def add(name: str, weight: float) -> None:
        name = name.lower().strip()
        if name and name.isascii() and len(name.split()) <= 5:
            names[name] = max(weight, names.get(name, 0.0))

    for n in table_names():
        add(n, 6)
    for lemmas in teacher.class_lemmas:
        for rank, n in enumerate(lemmas):
            add(n, 5 if rank == 0 else 3)
    for (n, id), count in teacher.wn.counts.items():
        if teacher.wn.synsets[id].lexfile in THINGS + STUFF:
            add(n, 1 + min(3.0, count**0.5 / 3))
    common = [n for n in bpe_words() if teacher.wn.senses(n)]
    for n in common:
        add(n, 1.0)
    info = ImageNetInfo("imagenet-22k")
    for id in info.label_names():
        add(info.label_name_to_description(id, detailed=False).split(",")[0], 1.0)
    return names


def phrases(teacher: Teacher, names: dict[str, float], count: int, rng: random.Random) -> list[str]:
    """Phrases around the names: adjectives, frames, links, swapped and joined words."""
    pool = list(names)
    weight = list(names.values())
    everyday = [n for n, w in names.items() if w >= 2]
    out: list[str] = []
    picks = rng.choices(pool, weight, k=count)
    for n in picks:
        kind = rng.random()
        words = n.split()
        if kind < 0.25:
            out.append(f"{rng.choice(ADJECTIVES)} {n}")
        elif kind < 0.45:
            out.append(rng.choice(FRAMES).format(n))
        elif kind < 0.65:
            out.append(rng.choice(LINKS).format(n, rng.choice(everyday)))
        elif kind < 0.75:
            out.append(f"a {rng.choice(ADJECTIVES)} {n}")
        elif kind < 0.85:
            out.append(f"{rng.choice(everyday)} {n}")
        elif len(words) == 2:
            out.append(" ".join(reversed(words)) if kind < 0.93 else "".join(words))
        else:
            out.append(plural(n))
    return out


def build(cache: Path | None, count: int = 40000, seed: int = 0) -> Corpus:
    """Gather texts and label them (kept in `cache` if given)."""
    if cache is not None and cache.exists():
        return Corpus(**torch.load(cache, weights_only=True))
    rng = random.Random(seed)
    teacher = Teacher()
    names = gather_names(teacher)
    print(f"{len(names)} names", flush=True)
    teacher.prepare(list(names))
    print("names embedded", flush=True)
    # a swapped or joined two-word lemma keeps the lemma's vector
    alias: dict[str, str] = {}
    for n in names:
        words = n.split()
        if len(words) == 2:
            alias.setdefault(" ".join(reversed(words)), n)
            alias.setdefault("".join(words), n)
    extra = [p for p in dict.fromkeys(phrases(teacher, names, count, rng)) if p not in names]
    texts = list(names) + extra
    labels = [teacher(alias.get(t, t) if t not in names else t) for t in texts]
    corpus = Corpus(
        texts,
        torch.stack([v for v, _ in labels]).half(),
        torch.tensor([c for _, c in labels]),
        torch.tensor([*names.values(), *([1.0] * len(extra))]),
    )
    if cache is not None:
        torch.save(vars(corpus), cache)
    return corpus


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    made = build(Path(sys.argv[1]))
    print(len(made.texts), "texts")
