"""Text vectors of the classes and of the background words that compete with them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.classes import ClassInfo, fold, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.tagging.scores import mean_cosine, similarity

BACKGROUND_WORDS = (
    "ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river", "sea",
    "railway", "railroad", "keyboard", "helmet", "cloud", "house", "mountain", "ocean", "road",
    "rock", "street", "valley", "bridge", "sign",
)  # fmt: skip
"""Words that compete with the classes (CLIP-ES, Lin et al., CVPR 2023)."""


SYNONYM_SIMILARITY = 0.7
"""Text similarity from which a background word counts as a synonym of a class."""


def checked_background(words: str | Iterable[str]) -> tuple[str, ...]:
    """Parse background words: a list, a comma-separated string, "default" or "none"."""
    require(words, Iterable, "background", "words")
    if isinstance(words, str):
        key = words.strip().casefold()
        if key in ("", "none"):
            return ()
        if key == "default":
            return BACKGROUND_WORDS
        words = [word for line in words.splitlines() for word in line.split(",")]
    found: dict[str, str] = {}
    for word in words:
        if not isinstance(word, str):
            raise InputError(f"{word!r} is no background word: give text.")
        if clean := " ".join(word.split()):
            found.setdefault(fold(clean), parse_classes([clean])[0].name)
    return tuple(found.values())


def text_rows(
    model: CLIPModel, classes: Sequence[ClassInfo], background: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Encode the classes, and the background words that are no synonyms of them.

    Returns ``(K, D)`` and ``(B, D)`` unit rows; B may be 0.
    """
    text = F.normalize(
        torch.stack([model.encode_text(info.prompts).mean(0) for info in classes]), dim=-1
    )
    taken = {fold(p) for info in classes for p in (info.name, *info.prompts)}
    words = [word for word in background if fold(word) not in taken]
    if not words:
        return text, text[:0]
    rows = model.encode_text(words)
    usual = mean_cosine(torch.cat([rows, text]))
    apart = similarity(rows, text, usual).amax(1) < SYNONYM_SIMILARITY
    return text, rows[apart]
