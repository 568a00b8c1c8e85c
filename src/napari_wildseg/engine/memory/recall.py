"""What a memory says of one image: relevance maps corrected by what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.memory.class_memory import ClassMemory
from napari_wildseg.engine.memory.error_process import phases_of, said_of
from napari_wildseg.engine.memory.filters import FILTERS, filter_bank
from napari_wildseg.engine.memory.mixtures import mix
from napari_wildseg.engine.memory.records import THRESHOLD, name_key, relative_colours
from napari_wildseg.engine.refine.default import DefaultRefinement

BELIEF = 8.0
"""How much more scores are believed than the maps alone, if the memory was always right."""


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
    used : dict of str to dict
        By class name: shares of the process over the maps' errors and of the pixel classifier.
    fine : float
        How far the scores are to be kept pixel by pixel: the largest share of the pixel
        classifier, times how much of the labels is finer than superpixels.
    belief : float
        How far corrections must go to overrule the scores, 1 for the maps alone: the better the
        memory was on images that were left out, the farther.
    """

    scores: Tensor | None
    notices: tuple[str, ...]
    used: dict[str, dict[str, float]]
    fine: float = 0.0
    belief: float = 1.0


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
    learned, scene = memory.learned(), refinement.scene
    names = [info.name for info in classes]
    judged = [learned.hindsight.get(name_key(name)) for name in names]
    notices = tuple(
        _notice(info.name, memory.count(info.name), found.alpha or found.beta)
        for info, found in zip(classes, judged, strict=True)
        if found is not None
    )
    alpha = np.array([found.alpha if found else 0 for found in judged], np.float32)
    beta = np.array([found.beta if found else 0 for found in judged], np.float32)
    gain = np.array([found.gain if found else 1 for found in judged], np.float32)
    used = {
        name: {"process": found.alpha, "pixels": found.beta}
        for name, found in zip(names, judged, strict=True)
        if found is not None
    }
    if not (alpha.any() or beta.any()):
        return Recalled(None, notices, used)
    prior = refinement.spread(THRESHOLD)
    said = scene.pieces.average(prior)
    residual = torch.zeros(len(names), *scene.work)
    phases = phases_of(scene.looks, relative_colours(scene.pieces)) if alpha.any() else None
    for place, name in enumerate(names, 1):
        if alpha[place - 1] and phases is not None:
            process = learned.processes[name_key(name)]
            found = process.residual(phases, said_of(said, place))
            residual[place - 1] = scene.pieces.paint(found[:, None])[0]
    classified = np.zeros((len(names), *scene.work), np.float32)
    if beta.any():
        assert learned.classifier is not None
        bank = filter_bank(scene.lab.numpy()).reshape(FILTERS, -1).T
        values = learned.classifier.probabilities(
            names,
            scene.looks.numpy(),
            bank,
            scene.pieces.index.ravel(),
            as_met=all(found.as_met for found in judged if found),
        )
        beta[np.isnan(values).any(0)] = 0
        classified = np.nan_to_num(values).T.reshape(classified.shape)
    fine = resize(prior, scene.work).numpy()
    mixed = torch.from_numpy(mix(fine, residual.numpy(), classified, alpha, beta, gain))
    return Recalled(
        refinement.scores_of(mixed, THRESHOLD),
        notices,
        used,
        float(beta.max()) * learned.detail,
        1 + BELIEF * float(np.mean([found.reached for found in judged if found])),
    )


def _notice(name: str, images: int, used: float) -> str:
    if not used:
        return f'What was learned of "{name}" is not used: it would not have helped.'
    return f'"{name}": learned from {images} image{"s" if images > 1 else ""}.'
