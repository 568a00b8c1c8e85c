"""Familiarity: how well a model knows a class name, before anything is segmented.

A text tower returns a confident vector for any string, even for random letters. Whether the tower
was trained on the name must therefore be known from elsewhere. For the starter there is a table of
some 50,000 English nouns (``training/starter_known_names.py``). Each has a value: how close its
text vector is to the target derived from WordNet and the image tower's classes. A name outside the
table is out of distribution; a name with a low value was learned badly.

Towers trained on captions from the web know more words than any list; they have no such table.
"""

from __future__ import annotations

import difflib
import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wildseg.engine.classes import ClassInfo, fold
from napari_wildseg.engine.names.vocabularies import load_vocabulary

if TYPE_CHECKING:
    from napari_wildseg.engine.models.clip_model import CLIPModel

_TABLE_FILE = Path(__file__).parents[1] / "models" / "starter_files" / "known_names.txt.xz"
MODEL_WITH_TABLE = "starter"
"""The model that has a table of known names."""

MIN_FAMILIARITY = 0.3
"""Familiarity below which a name counts as unknown."""

# fmt: off
_FUNCTION_WORDS = frozenset((
    "a", "an", "and", "at", "behind", "beside", "by", "for", "from", "her", "his", "in", "into",
    "its", "my", "near", "next", "of", "on", "one", "or", "our", "over", "part", "photo",
    "picture", "some", "standing", "the", "their", "to", "under", "with", "without", "your",
))
# fmt: on
_JOINERS = frozenset(
    [
        "of",
        "with",
        "in",
        "on",
        "at",
        "by",
        "near",
        "under",
        "behind",
        "beside",
        "and",
        "for",
        "from",
        "over",
    ]
)
_COMPOUND = 0.7
"""Familiarity of a closed compound of known nouns ("mousepad"), relative to its second noun."""


@dataclass(frozen=True)
class Familiarity:
    """Familiarity of one class name."""

    name: str  # the class's name
    value: float  # 0 (unknown) to 1 (known as well as possible)
    unknown: tuple[str, ...] = ()  # words outside the table
    instead: tuple[str, ...] = ()  # known names of similar spelling

    @property
    def little(self) -> bool:
        """Whether the model hardly knows the name."""
        return self.value < MIN_FAMILIARITY

    @property
    def notice(self) -> str:
        """One sentence for the annotator; empty if the name is known."""
        if not self.little:
            return ""
        if self.unknown:
            words = ", ".join(f'"{word}"' for word in self.unknown)
            hint = f" Did you mean {' or '.join(self.instead)}?" if self.instead else ""
            also = "" if self.unknown == (self.name,) else f' in "{self.name}"'
            return (
                f"The model does not know the word {words}{also}: its map is a guess.{hint}"
                if len(self.unknown) == 1
                else f"The model does not know the words {words}{also}: the map is a guess.{hint}"
            )
        return (
            f'The model hardly knows "{self.name}": add what it looks like, for example '
            f'"{self.name}={self.name}|a commoner word".'
        )


def familiarity(model: CLIPModel, classes: Sequence[ClassInfo]) -> dict[str, Familiarity] | None:
    """Return the familiarity of the classes' names; None for a model without a table."""
    if model.name != MODEL_WITH_TABLE:
        return None
    return {info.name: class_familiarity(info) for info in classes}


def notices_about(model: CLIPModel, classes: Sequence[ClassInfo]) -> tuple[str, ...]:
    """Return the notices about names that a model hardly knows."""
    known = familiarity(model, classes) or {}
    return tuple(one.notice for one in known.values() if one.little)


def class_familiarity(info: ClassInfo) -> Familiarity:
    """Look up a class in the starter's table; needs no model."""
    found = [_of_prompt(info.name, prompt) for prompt in info.prompts]
    return max(found, key=lambda one: one.value)


def _of_prompt(name: str, prompt: str) -> Familiarity:
    clean = " ".join(fold(prompt).split())
    known = _table().get(clean)
    if known is not None:
        return Familiarity(name, known)
    # Text in brackets explains the name and is ignored: "bat (animal)" is looked up as "bat".
    words = re.findall(r"[^\W_]+", clean.partition("(")[0] or clean)
    stop = next((i for i, w in enumerate(words) if i and w in _JOINERS), len(words))
    total = weight = 0.0
    unknown = []
    content = [i for i, w in enumerate(words) if w not in _FUNCTION_WORDS]
    head = max((i for i in content if i < stop), default=content[0] if content else 0)
    for i in content:
        value = _of_word(words[i])
        if value is None:
            unknown.append(words[i])
        share = 3.0 if i == head else 1.0
        weight += share
        total += share * (value or 0.0)
    if not weight:
        return Familiarity(name, 0.0, (prompt,))
    instead = _spelt_alike(unknown[0]) if len(unknown) == 1 else ()
    shown = (prompt,) if len(content) == 1 and unknown else tuple(unknown)
    return Familiarity(name, total / weight, shown, instead)


def _of_word(word: str) -> float | None:
    """Return the value of a word, its singular or its parts; None if none is in the table."""
    table = _table()
    for form in (word, *_singulars(word)):
        if form in table:
            return table[form]
    parts = [
        table[word[i:]] for i in range(3, len(word) - 2) if word[:i] in table and word[i:] in table
    ]
    return _COMPOUND * max(parts) if parts else None


def _singulars(word: str) -> list[str]:
    endings = (("ies", "y"), ("ves", "f"), ("men", "man"), ("es", ""), ("s", ""), ("i", "us"))
    return [word[: -len(a)] + b for a, b in endings if word.endswith(a) and len(word) > len(a) + 2]


def _spelt_alike(word: str) -> tuple[str, ...]:
    """Return well-known names of similar spelling."""
    good = [
        name
        for name, value in _table().items()
        if value >= 0.6 and name[:1] == word[:1] and abs(len(name) - len(word)) <= 2
    ]
    return tuple(difflib.get_close_matches(word, good, n=2, cutoff=0.8))


@lru_cache(maxsize=1)
def _table() -> dict[str, float]:
    """Return the table: name -> familiarity, 0 to 1."""
    text = lzma.decompress(_TABLE_FILE.read_bytes()).decode()
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, mark = line.partition("\t")
        # A measured cosine of 0.8 is the best for names that were not trained first.
        found[name] = 0.6 if mark == "+" else min(1.0, (int(mark) + 0.5) / 8)
    # The image tower's own classes, including proper names and phrases.
    found.update((fold(name), 1.0) for name in load_vocabulary("imagenet"))
    return found
