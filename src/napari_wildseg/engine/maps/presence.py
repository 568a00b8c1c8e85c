"""Whether a class that was typed is in the image at all.

Relevance answers "where would it be most likely?", and there is a best place for any name in any
image. Here a name is asked about the whole image. Two figures are taken from the evidence that is
there anyway, both relative to some hundred everyday names and background words: how surely the
name wins at its best places (`tagging.scores`), and how far its best places stand out from
those of the others.

People typed the name, so a class that is wrongly left out costs more than one that is wrongly let
in. The bar is therefore low (docs/method.md has the rates), and only names that the model knows
well are left out: an odd word is no evidence of absence, and neither is any word to a model of
which it is not on record what it knows. A class that passes the bar but looks doubtful has less
say where classes compete.
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
from napari_wildseg.engine.names.familiarity import LITTLE, familiarity
from napari_wildseg.engine.names.tagging.places import place_embeddings
from napari_wildseg.engine.names.tagging.scores import best, shares_of
from napari_wildseg.engine.relevance.hyponyms import reach

ABSENT = -4.5
"""Scores below this: the class is left out."""

PRESENT = -3.5
"""Scores from this: the class competes as if there were no doubt."""

LEAST = 0.2
"""Least say of a class where classes compete; peak of the map of a class that is left out, below
any usual threshold, so that a low one lets the class in again."""

STANDING_OUT = 0.5
"""What one standard deviation over the rivals counts beside the logarithm of the share."""


WELL_KNOWN = 0.9
"""Familiarity from which a class may be left out; others may only have less say."""


@dataclass(frozen=True)
class Presence:
    """What is thought of each of K classes."""

    scores: Tensor  # ``(K,)`` float32; infinite where a class is not judged

    @property
    def absent(self) -> Tensor:
        """``(K,)`` bool: the class is left out."""
        return self.scores < ABSENT

    @property
    def say(self) -> Tensor:
        """``(K,)`` float32 in (0, 1]: what a class's evidence counts where classes compete."""
        sure = ((self.scores - ABSENT) / (PRESENT - ABSENT)).clamp(0, 1)
        return LEAST + (1 - LEAST) * sure

    @property
    def peak(self) -> Tensor:
        """``(K,)`` float32 in (0, 1]: what a class's relevance is at its best place."""
        return torch.where(self.absent, LEAST, 1.0)

    @classmethod
    def unknown(cls, count: int) -> Presence:
        """Judge nothing."""
        return cls(torch.full((count,), torch.inf))


class Rivals:
    """Everyday names and background words, and what a model makes of them; of no image."""

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
    """Asks about one image; what the rivals get there is worked out once."""

    def __init__(
        self, encoding: ImageEncoding, model: CLIPModel, rivals: Rivals | Sequence[str]
    ) -> None:
        self._encoding = encoding
        self._model = model
        self._rivals = rivals if isinstance(rivals, Rivals) else Rivals(model, rivals)
        self._theirs: Tensor | None = None

    @torch.no_grad()
    def __call__(self, classes: Sequence[ClassInfo], text: Tensor) -> Presence:
        """Judge classes.

        `text`: ``(K, D)`` their unit rows.
        """
        known = familiarity(self._model, classes)
        concepts = self._model.concepts
        if known is None or concepts is None or not self._rivals.names:
            return Presence.unknown(len(classes))
        rivals = self._rivals
        if self._theirs is None:
            self._theirs = self._evidence(rivals.rows)
        theirs = self._theirs
        rows, own = text.cpu(), self._evidence(text)
        shares = shares_of(own, theirs, rows, rivals.rows, self._model)
        peaks = best(own / reach(rows, concepts.cpu()).sqrt()[:, None])
        usual = best(theirs / rivals.reach.sqrt()[:, None])
        stands_out = (peaks - usual.mean()) / usual.std().clamp(min=1e-6)
        scores = best(shares).clamp(min=1e-9).log() + STANDING_OUT * stands_out
        values = torch.tensor([known[info.name].value for info in classes])
        least = torch.where(values < WELL_KNOWN, ABSENT, -torch.inf)
        return Presence(torch.where(values < LITTLE, torch.inf, scores.maximum(least)))

    def _evidence(self, rows: Tensor) -> Tensor:
        """What each text gets at each place: ``(N, D) -> (N, places)``."""
        return rows.cpu() @ place_embeddings(self._encoding, self._model).flatten(1)
