"""The use of a memory on one image: relevance maps corrected by what was learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.memory.class_memory import ClassMemory
from napari_wildseg.engine.memory.error_process import phases_of, prior_summary
from napari_wildseg.engine.memory.filters import FILTERS, filter_bank, pixel_statistics
from napari_wildseg.engine.memory.mixtures import mix
from napari_wildseg.engine.memory.records import (
    THRESHOLD,
    name_key,
    relative_colours,
    superpixel_statistics,
)
from napari_wildseg.engine.memory.resemblance import points_of
from napari_wildseg.engine.refine.default import DefaultRefinement
from napari_wildseg.engine.refine.scene import Scene

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


@dataclass(frozen=True)
class ColourStatistics:
    """Mean and variance of a whole image's colours, for a part of it."""

    superpixels: tuple[Tensor, Tensor]  # `superpixel_statistics` of its superpixels
    pixels: tuple[NDArray[np.float32], float]  # `pixel_statistics`

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> ColourStatistics:
        """Pool the parts of an image, all of the same size."""
        superpixels, pixels = [], []
        for scene in scenes:
            superpixels.append(superpixel_statistics(scene.superpixels))
            pixels.append(pixel_statistics(scene.lab.numpy()))
        means = torch.stack([mean for mean, _ in superpixels])
        within = torch.stack([variance for _, variance in superpixels]).mean()
        mean = means.mean(0)
        every = np.stack([mean for mean, _ in pixels])
        middle = every.mean(0)
        between = float(np.square(every - middle).sum(1).mean())
        return cls(
            (mean, within + (means - mean).square().sum(1).mean()),
            (middle, float(np.mean([variance for _, variance in pixels])) + between),
        )


class Recaller:
    """A memory, applied to the classes of an image or of its parts.

    Attributes
    ----------
    notices, used, fine, belief
        As of `Recalled`.
    active : bool
        Whether the memory is used for any class.
    """

    def __init__(self, memory: ClassMemory, classes: Sequence[ClassInfo]) -> None:
        self._learned = memory.learned()
        self._names = [info.name for info in classes]
        judged = [self._learned.hindsight.get(name_key(name)) for name in self._names]
        self.notices = tuple(
            _notice(info.name, memory.count(info.name), found.alpha or found.beta)
            for info, found in zip(classes, judged, strict=True)
            if found is not None
        )
        self._alpha = np.array([found.alpha if found else 0 for found in judged], np.float32)
        self._beta = np.array([found.beta if found else 0 for found in judged], np.float32)
        self.used = {
            name: {"process": found.alpha, "pixels": found.beta}
            for name, found in zip(self._names, judged, strict=True)
            if found is not None
        }
        self.active = bool(self._alpha.any() or self._beta.any())
        self.fine, self.belief = 0.0, 1.0
        classifier = self._learned.classifier
        if self._beta.any():
            assert classifier is not None
            self._beta[[not classifier.covers(name) for name in self._names]] = 0
        if self.active:
            self.fine = float(self._beta.max()) * self._learned.detail
            self.belief += BELIEF * float(np.mean([found.reached for found in judged if found]))

    def probabilities(
        self, prior: Tensor, scene: Scene, statistics: ColourStatistics | None = None
    ) -> Tensor:
        """Return what the memory makes of the maps of an image or of a part of it.

        `prior`: ``(K + 1, gh, gw)`` float32 probabilities at `THRESHOLD` after spreading,
        background first; `statistics`: of the whole image, if this is a part; returns
        ``(K + 1, h, w)`` float32 on the scene's work pixels.
        """
        learned = self._learned
        alpha, beta = self._alpha, self._beta
        of_superpixels = scene.superpixels.average(prior)
        residual = torch.zeros(len(self._names), *scene.work)
        colours = relative_colours(
            scene.superpixels, statistics.superpixels if statistics else None
        )
        phases = phases_of(scene.features, colours) if alpha.any() else None
        for place, name in enumerate(self._names, 1):
            if alpha[place - 1] and phases is not None:
                process = learned.processes[name_key(name)]
                found = process.residual(phases, prior_summary(of_superpixels, place))
                residual[place - 1] = scene.superpixels.paint(found[:, None])[0]
        classified = np.zeros((len(self._names), *scene.work), np.float32)
        if beta.any():
            assert learned.classifier is not None
            bank = filter_bank(scene.lab.numpy(), statistics.pixels if statistics else None)
            values = learned.classifier.probabilities(
                self._names,
                scene.features.numpy(),
                bank.reshape(FILTERS, -1).T,
                scene.superpixels.index.ravel(),
            )
            classified = np.nan_to_num(values).T.reshape(classified.shape)
        fine = resize(prior, scene.work).numpy()
        familiar = learned.resemblance.of(points_of(scene.features, colours))
        trust = scene.superpixels.paint(familiar[:, None])[0].numpy()
        return torch.from_numpy(mix(fine, residual.numpy(), classified, alpha, beta, trust))


def recall(
    memory: ClassMemory, classes: Sequence[ClassInfo], refinement: DefaultRefinement
) -> Recalled:
    """Ask a memory about an image."""
    asked = Recaller(memory, classes)
    if not asked.active:
        return Recalled(None, asked.notices, asked.used)
    mixed = asked.probabilities(refinement.spread(THRESHOLD), refinement.scene)
    scores = refinement.options.scores_of(mixed, THRESHOLD)
    return Recalled(scores, asked.notices, asked.used, asked.fine, asked.belief)


def _notice(name: str, images: int, used: float) -> str:
    if not used:
        return f'What was learned of "{name}" is not used: it would not have helped.'
    return f'"{name}": learned from {images} image{"s" if images > 1 else ""}.'
