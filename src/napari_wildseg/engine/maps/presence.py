"""Presence: whether a typed class is in the image at all.

A relevance map has a maximum for any name in any image. Presence is judged from two quantities,
both relative to some hundred everyday names and background words: the score of the name at its
best positions (`tagging.scores`), and how far its peak exceeds the peaks of the other names. Both
come from the existing encoding.

The annotator typed the name, so leaving out a class wrongly is worse than keeping it wrongly. The
cut is therefore low (docs/method.md lists the rates), and only well-known names are left out. For
a model without a table of known names, no class is left out. A class above the cut with a doubtful
score has less weight in the competition of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.familiarity import MIN_FAMILIARITY, familiarity
from napari_wildseg.engine.names.tagging.places import local_embeddings
from napari_wildseg.engine.names.tagging.scores import best, shares_from_evidence
from napari_wildseg.engine.relevance.hyponyms import reach

ABSENT = -4.5
"""Score below which a class is left out."""

_FULL_WEIGHT_SCORE = -3.5
"""Score from which a class has full weight in the competition."""

MIN_WEIGHT = 0.2
"""Smallest weight of a class in the competition. Also the peak of the map of a class that is left
out: below usual thresholds, so that a low threshold includes the class again."""

_PEAK_WEIGHT = 0.5
"""Weight of one standard deviation over the rivals, relative to the logarithm of the share."""


_WELL_KNOWN = 0.9
"""Familiarity from which a class may be left out; other classes only lose weight."""


@dataclass(frozen=True)
class Presence:
    """Presence of each of K classes."""

    scores: Tensor  # ``(K,)`` float32; infinite for a class that is not judged

    @property
    def absent(self) -> Tensor:
        """``(K,)`` bool: the classes that are left out."""
        return self.scores < ABSENT

    @property
    def weight(self) -> Tensor:
        """``(K,)`` float32 in (0, 1]: weight of each class in the competition."""
        sure = ((self.scores - ABSENT) / (_FULL_WEIGHT_SCORE - ABSENT)).clamp(0, 1)
        return MIN_WEIGHT + (1 - MIN_WEIGHT) * sure

    @property
    def peak(self) -> Tensor:
        """``(K,)`` float32 in (0, 1]: maximum of each class's relevance map."""
        return torch.where(self.absent, MIN_WEIGHT, 1.0)

    @classmethod
    def unknown(cls, count: int) -> Presence:
        """Return a presence that judges no class."""
        return cls(torch.full((count,), torch.inf))


class Rivals:
    """Everyday names and background words with their text vectors, for all images."""

    def __init__(self, model: CLIPModel, names: Sequence[str]) -> None:
        self.model = model
        self.names = tuple(names)

    @cached_property
    def rows(self) -> Tensor:
        """``(R, D)`` unit rows on the CPU."""
        return self.model.encode_text(self.names).cpu()

    @cached_property
    def reach(self) -> Tensor:
        """``(R,)``, see `relevance.hyponyms.reach`."""
        assert self.model.concepts is not None
        return reach(self.rows, self.model.concepts.cpu())


class PresenceTest:
    """Judges classes in one image; the rivals' evidence is computed once."""

    def __init__(
        self, encoding: ImageEncoding, model: CLIPModel, rivals: Rivals | Sequence[str]
    ) -> None:
        self._encoding = encoding
        self._model = model
        self._rivals = rivals if isinstance(rivals, Rivals) else Rivals(model, rivals)
        self._rival_evidence: Tensor | None = None

    @torch.no_grad()
    def __call__(self, classes: Sequence[ClassInfo], text: Tensor) -> Presence:
        """Judge the classes. `text`: ``(K, D)``, the classes' unit rows."""
        known = familiarity(self._model, classes)
        concepts = self._model.concepts
        if known is None or concepts is None or not self._rivals.names:
            return Presence.unknown(len(classes))
        rivals = self._rivals
        if self._rival_evidence is None:
            self._rival_evidence = self._evidence(rivals.rows)
        rival_evidence = self._rival_evidence
        rows, own = text.cpu(), self._evidence(text)
        shares = shares_from_evidence(own, rival_evidence, rows, rivals.rows, self._model)
        peaks = best(own / reach(rows, concepts.cpu()).sqrt()[:, None])
        usual = best(rival_evidence / rivals.reach.sqrt()[:, None])
        prominence = (peaks - usual.mean()) / usual.std().clamp(min=1e-6)
        scores = best(shares).clamp(min=1e-9).log() + _PEAK_WEIGHT * prominence
        values = torch.tensor([known[info.name].value for info in classes])
        least = torch.where(values < _WELL_KNOWN, ABSENT, -torch.inf)
        return Presence(torch.where(values < MIN_FAMILIARITY, torch.inf, scores.maximum(least)))

    def _evidence(self, rows: Tensor) -> Tensor:
        """Return the evidence of each text at each position: ``(K, D) -> (K, N)``."""
        return rows.cpu() @ local_embeddings(self._encoding, self._model).flatten(1)
