"""The noun part of WordNet 3.0, read from the dictionary files (training only)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SUFFIXES = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


@dataclass
class Synset:
    """One noun sense: its id (as ImageNet writes it), words, gloss and neighbours."""

    id: str
    lemmas: tuple[str, ...]
    gloss: str
    lexfile: int
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


class WordNet:
    """Nouns of WordNet 3.0 (ImageNet's ids are its offsets)."""

    def __init__(self, folder: Path) -> None:
        self.synsets: dict[str, Synset] = {}
        for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                self._read(line)
        for s in self.synsets.values():
            for p in s.parents:
                self.synsets[p].children.append(s.id)
        self.index: dict[str, list[str]] = {}
        for line in (folder / "index.noun").read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                parts = line.split()
                offsets = parts[-int(parts[2]) :]
                self.index[parts[0].replace("_", " ")] = [f"n{o}" for o in offsets]
        self.exceptions = {
            line.split()[0].replace("_", " "): line.split()[1].replace("_", " ")
            for line in (folder / "noun.exc").read_text(encoding="latin-1").splitlines()
            if line.strip()
        }
        self.counts: dict[tuple[str, str], int] = {}
        for line in (folder / "cntlist.rev").read_text(encoding="latin-1").splitlines():
            key, sense, count = line.split()
            lemma, _, rest = key.partition("%")
            if rest.startswith("1:"):
                word = lemma.replace("_", " ")
                senses = self.index.get(word, [])
                if int(sense) <= len(senses):
                    self.counts[word, senses[int(sense) - 1]] = int(count)

    def _read(self, line: str) -> None:
        data, _, gloss = line.partition(" | ")
        parts = data.split()
        n = int(parts[3], 16)
        lemmas = tuple(parts[4 + 2 * i].replace("_", " ") for i in range(n))
        synset = Synset(f"n{parts[0]}", lemmas, gloss.strip(), int(parts[1]))
        at = 4 + 2 * n
        for i in range(int(parts[at])):
            symbol, offset, pos, _ = parts[at + 1 + 4 * i : at + 5 + 4 * i]
            if symbol in ("@", "@i") and pos == "n":
                synset.parents.append(f"n{offset}")
        self.synsets[synset.id] = synset

    def base_form(self, name: str) -> str | None:
        """The dictionary form of a (plural) noun or collocation, or None."""
        name = name.lower().replace("-", " ") if name.lower() not in self.index else name.lower()
        if name in self.index:
            return name
        if name in self.exceptions and self.exceptions[name] in self.index:
            return self.exceptions[name]
        for suffix, new in SUFFIXES:
            if name.endswith(suffix) and name[: -len(suffix)] + new in self.index:
                return name[: -len(suffix)] + new
        if name.replace(" ", "") in self.index:
            return name.replace(" ", "")
        return None

    def senses(self, name: str) -> list[str]:
        """Synset ids of a name, most frequent first."""
        base = self.base_form(name)
        return self.index[base] if base else []

    @cache  # noqa: B019 - one WordNet lives as long as the process
    def ancestors(self, id: str) -> tuple[str, ...]:
        """The synset and everything above it, nearest first."""
        seen = {id: None}
        level = [id]
        while level:
            level = [p for s in level for p in self.synsets[s].parents if p not in seen]
            seen.update(dict.fromkeys(level))
        return tuple(seen)

    @cache  # noqa: B019
    def size(self, id: str) -> int:
        """How many synsets lie at or under this one."""
        seen = {id}
        stack = [id]
        while stack:
            for c in self.synsets[stack.pop()].children:
                if c not in seen:
                    seen.add(c)
                    stack.append(c)
        return len(seen)
