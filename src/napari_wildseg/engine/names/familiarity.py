"""How well a model knows a name, before anything is segmented.

A text tower answers to any string: letters at random land near some class and look as confident
as a real name. What a name's vector says is therefore not enough; it has to be known whether the
tower was taught the name. For the starter that is on record: for each of some 50,000 English
nouns, how close its vector is to what the nouns' dictionary (WordNet) and the image tower's
classes say it should be (``training/starter_known_names.py``). A name that is not on record is
out of distribution, however confident its vector; one that is on record with a low figure was
taught in vain.

Towers trained on captions from the web know more words than any list; for them there is no figure.
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

_RECORD = Path(__file__).parents[1] / "models" / "starter_files" / "known_names.txt.xz"
ON_RECORD = "starter"
"""The model of which it is known what it was taught."""

LITTLE = 0.3
"""Names below this are marked."""

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
"""A closed compound of two known nouns ("mousepad") is known about this much as its second."""


@dataclass(frozen=True)
class Familiarity:
    """What is known of one name."""

    name: str  # the class's name
    value: float  # 0 (never met) to 1 (as well as it can be)
    unknown: tuple[str, ...] = ()  # words that the model never met
    instead: tuple[str, ...] = ()  # known names that are spelt much the same

    @property
    def little(self) -> bool:
        """Whether the model has little idea of it."""
        return self.value < LITTLE

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
    """Look up how well a model knows the names of classes."""
    if model.name != ON_RECORD:
        return None
    return {info.name: of_class(info) for info in classes}


def notices_about(model: CLIPModel, classes: Sequence[ClassInfo]) -> tuple[str, ...]:
    """Sentences on the classes that a model has little idea of."""
    known = familiarity(model, classes) or {}
    return tuple(one.notice for one in known.values() if one.little)


def of_class(info: ClassInfo) -> Familiarity:
    """Look up a class in the starter's record; needs no model."""
    found = [_of_prompt(info.name, prompt) for prompt in info.prompts]
    return max(found, key=lambda one: one.value)


def _of_prompt(name: str, prompt: str) -> Familiarity:
    clean = " ".join(fold(prompt).split())
    known = _record().get(clean)
    if known is not None:
        return Familiarity(name, known)
    # What stands in brackets explains the name: "bat (animal)" is asked for as a bat.
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
    """Return the figure of a word, its singular, or its parts; None if none is on record."""
    record = _record()
    for form in (word, *_singulars(word)):
        if form in record:
            return record[form]
    parts = [
        record[word[i:]]
        for i in range(3, len(word) - 2)
        if word[:i] in record and word[i:] in record
    ]
    return _COMPOUND * max(parts) if parts else None


def _singulars(word: str) -> list[str]:
    endings = (("ies", "y"), ("ves", "f"), ("men", "man"), ("es", ""), ("s", ""), ("i", "us"))
    return [word[: -len(a)] + b for a, b in endings if word.endswith(a) and len(word) > len(a) + 2]


def _spelt_alike(word: str) -> tuple[str, ...]:
    """Well known names that are spelt nearly like a word."""
    good = [
        name
        for name, value in _record().items()
        if value >= 0.6 and name[:1] == word[:1] and abs(len(name) - len(word)) <= 2
    ]
    return tuple(difflib.get_close_matches(word, good, n=2, cutoff=0.8))


@lru_cache(maxsize=1)
def _record() -> dict[str, float]:
    """Names on record -> 0 to 1."""
    text = lzma.decompress(_RECORD.read_bytes()).decode()
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, mark = line.partition("\t")
        # A measured cosine of 0.8 is as good as the tower gets with names it was not taught first.
        found[name] = 0.6 if mark == "+" else min(1.0, (int(mark) + 0.5) / 8)
    # The image tower's own classes, proper names and phrases among them.
    found.update((fold(name), 1.0) for name in load_vocabulary("imagenet"))
    return found
