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
from napari_wildseg.engine.memory.error_process import phases_of, prior_summary
from napari_wildseg.engine.memory.filters import FILTERS, filter_bank
from napari_wildseg.engine.memory.mixtures import mix
from napari_wildseg.engine.memory.records import THRESHOLD, name_key, relative_colours
from napari_wildseg.engine.memory.resemblance import points_of
from napari_wildseg.engine.refine.default import DefaultRefinement

BELIEF = 8.0
"""How much more scores are believed than the maps alone, if the memory was always right."""


@dataclass(frozen=True)
class Recalled:
    """What a memory makes of an image."""

    # ``(K, h, w)`` float32 in [0, 1], to replace `DefaultRefinement.scores`; None where the memory
    # is not used for any class.
    scores: Tensor | None
    notices: tuple[str, ...]  # A sentence for each class that the memory knows
    # By class name: shares of the process over the maps' errors and of the pixel classifier.
    used: dict[str, dict[str, float]]
    # How far the scores are to be kept pixel by pixel: the largest share of the pixel classifier,
    # times how much of the labels is finer than superpixels.
    fine: float = 0.0
    # How far corrections must go to overrule the scores, 1 for the maps alone: the better the
    # memory was on images that were left out, the farther.
    belief: float = 1.0


def recall(
    memory: ClassMemory, classes: Sequence[ClassInfo], refinement: DefaultRefinement
) -> Recalled:
    """Ask a memory about an image."""
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
    used = {
        name: {"process": found.alpha, "pixels": found.beta}
        for name, found in zip(names, judged, strict=True)
        if found is not None
    }
    if not (alpha.any() or beta.any()):
        return Recalled(None, notices, used)
    prior = refinement.spread(THRESHOLD)
    of_pieces = scene.pieces.average(prior)
    residual = torch.zeros(len(names), *scene.work)
    colours = relative_colours(scene.pieces)
    phases = phases_of(scene.features, colours) if alpha.any() else None
    for place, name in enumerate(names, 1):
        if alpha[place - 1] and phases is not None:
            process = learned.processes[name_key(name)]
            found = process.residual(phases, prior_summary(of_pieces, place))
            residual[place - 1] = scene.pieces.paint(found[:, None])[0]
    classified = np.zeros((len(names), *scene.work), np.float32)
    if beta.any():
        assert learned.classifier is not None
        bank = filter_bank(scene.lab.numpy()).reshape(FILTERS, -1).T
        values = learned.classifier.probabilities(
            names,
            scene.features.numpy(),
            bank,
            scene.pieces.index.ravel(),
        )
        beta[np.isnan(values).any(0)] = 0
        classified = np.nan_to_num(values).T.reshape(classified.shape)
    fine = resize(prior, scene.work).numpy()
    familiar = learned.resemblance.of(points_of(scene.features, colours))
    trust = scene.pieces.paint(familiar[:, None])[0].numpy()
    mixed = torch.from_numpy(mix(fine, residual.numpy(), classified, alpha, beta, trust))
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
