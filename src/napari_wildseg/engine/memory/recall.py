"""What a memory says of one image: relevance maps corrected by what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.memory.memory import ClassMemory
from napari_wildseg.engine.memory.process import said_of
from napari_wildseg.engine.memory.records import THRESHOLD, relative_colours
from napari_wildseg.engine.pixels import resize
from napari_wildseg.engine.refine.default import DefaultRefinement

_LEAST = 1e-3
"""Probabilities are kept away from zero, so that a threshold can still change the label."""


@dataclass(frozen=True)
class Recalled:
    """What a memory makes of an image.

    Attributes
    ----------
    scores : torch.Tensor or None
        ``(K, h, w)`` float32 in [0, 1], to replace `DefaultRefinement.scores`; None where the
        memory is not used for any class.
    notices : tuple of str
        A sentence for each class that the memory knows.
    used : dict of str to float
        Share of what was learned that is used, by class name.
    """

    scores: Tensor | None
    notices: tuple[str, ...]
    used: dict[str, float]


def recall(
    memory: ClassMemory, classes: Sequence[ClassInfo], refinement: DefaultRefinement
) -> Recalled:
    """Ask a memory about an image.

    Parameters
    ----------
    memory : ClassMemory
        The memory; what it has not learned yet is learned now.
    classes : sequence of ClassInfo
        The K classes.
    refinement : DefaultRefinement
        Of the image, for these classes; corrections are not looked at.
    """
    scene = refinement.scene
    prior = refinement.spread(THRESHOLD)
    said = scene.pieces.average(prior)
    change = torch.zeros_like(said)
    notices, used = [], {}
    for place, info in enumerate(classes, 1):
        learned = memory.learned(info.name)
        if learned is None:
            continue
        used[info.name] = learned.hindsight.chosen
        notices.append(_notice(info.name, learned.images, learned.process is not None))
        if learned.process is not None:
            residual = learned.process.residual(
                scene.looks, relative_colours(scene.pieces), said_of(said, place)
            )
            change[:, place] = learned.hindsight.chosen * residual
    if not any(used.values()):
        return Recalled(None, tuple(notices), used)
    # What the classes gain, the background loses.
    change[:, 0] = -change.sum(1)
    fine = resize(prior, scene.work) + scene.pieces.paint(change)
    fine = fine.clamp(_LEAST, 1)
    return Recalled(refinement.scores_of(fine / fine.sum(0), THRESHOLD), tuple(notices), used)


def _notice(name: str, images: int, used: bool) -> str:
    if not used:
        return f'What was learned of "{name}" is not used: it would not have helped.'
    return f'"{name}": learned from {images} image{"s" if images > 1 else ""}.'
