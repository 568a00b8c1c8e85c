"""The default refiner: spread over the network's affinity, learn from dabs, agree, find the edges.

Four steps, each a function of the image, the seeds and all corrections, not of the order in
which they came: a rerun after a dab gives exactly what a refinement from scratch would give.

1. *Spread.* Relevance is averaged over places that the network and the colours find alike, which
   fills objects that the relevance map only touched (`spreading`). Where there are seeds alone,
   every label learns from its seeds what it looks like (`seeds`).
2. *Learn.* The labels of the image's superpixels are a Gaussian process. Its observations are the
   probabilities of step 1, with a precision that grows with their margin, and the corrections, with
   a high precision. The effect of a dab falls with distance and dissimilarity (`learn`).
3. *Agree.* A dense CRF over the superpixels gives one label to what looks alike and lies near
   (`agreement`). A superpixel gets another label than without corrections only by a clear margin
   (`Learner.favour`).
4. *Walk.* A random walk with priors (`walk.random_walk`) on the pixels, with corrections as seeds,
   moves the boundaries to the image's edges; a joint bilateral step carries them to full
   resolution (Kopf et al., SIGGRAPH 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.learning.observe import as_corrections, observe
from napari_wildseg.engine.refine.learning.reach import Dabs
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.scene import Scene
from napari_wildseg.engine.refine.seeds import spread_seeds
from napari_wildseg.engine.refine.upsample import to_full_resolution
from napari_wildseg.engine.refine.walk import margin_of, random_walk, weaken_edges

_TIE = 1e-5
"""Probabilities that differ by less are equal."""


class DefaultRefinement:
    """Refines one image again and again; what depends on it alone is computed once (`Scene`).

    `image`: ``(H, W, 3)`` uint8; `relevance`: ``(K, gh, gw)`` float32 in [0, 1]; None to work from
    the seeds alone.

    Attributes
    ----------
    recalled : torch.Tensor or None
        ``(K, h, w)`` float32 scores that replace those of step 1: what a class memory makes of
        them (`napari_wildseg.engine.memory`).
    fine : float
        In [0, 1], how far these were decided pixel by pixel: so much less is smoothed.
    belief : float
        Factor on the trust in these, where corrections contradict them.
    """

    name = "default"

    def __init__(
        self,
        image: NDArray[np.uint8],
        n_classes: int,
        features: Sequence[NDArray[np.float32]],
        relevance: NDArray[np.float32] | None,
        options: DefaultOptions | None = None,
        scene: Scene | None = None,
    ) -> None:
        self.options = options or DefaultOptions()
        self.scene = scene or Scene(image, features, self.options)
        self.n_classes = n_classes
        self.relevance = None if relevance is None else torch.from_numpy(relevance)
        self.recalled: Tensor | None = None
        self.fine = 0.0
        self.belief = 1.0
        self._first: tuple[Tensor, Tensor] | None = None  # `_agreed`: what of, and the result

    def with_classes(
        self, n_classes: int, relevance: NDArray[np.float32] | None
    ) -> DefaultRefinement:
        """Begin with other classes; what is known of the image alone is shared, not copied."""
        scene = self.scene
        return DefaultRefinement(scene.image, n_classes, (), relevance, self.options, scene)

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine; see `napari_wildseg.engine.refine.Refinement.run_steps`."""
        if corrections is not None and not (corrections >= 0).any():
            corrections = None
        yield Progress(0, 4, "Spreading over similar places")
        held = None
        if self.recalled is not None and threshold is not None:
            prior = self.options.probabilities(self.recalled, threshold)
        elif self.relevance is not None and threshold is not None:
            prior = self.spread(threshold, corrections)
        elif seeds is not None:
            held = as_corrections(seeds)
            prior = self._from_seeds(held)
        else:
            raise ValueError("seeds are needed where there is no relevance")
        yield Progress(1, 4, "Learning from corrections")
        scene = self.scene
        superpixels = scene.superpixels
        before = after = superpixels.average(prior)
        dabs = None
        if corrections is not None:
            dabs = scene.learner.find(corrections)
            agree = None if self.relevance is None else scene.crf.near
            after = before + scene.learner.change(before, corrections, agree, dabs, self.belief)
        if self.relevance is not None:
            yield Progress(2, 4, "Making similar places agree")
            agreed = self._agreed(before)
            first = self._blend(before, agreed)
            if corrections is None:
                after = first
            else:
                after = self._blend(after, scene.crf.change(before, after, agreed))
                after = scene.learner.favour(after, first, corrections)
        fine = resize(prior, scene.work)
        if after is not before:
            fine = (fine + superpixels.paint(after - before)).clamp_(1e-4)
            fine /= fine.sum(0)
        yield Progress(3, 4, "Finding the edges")
        return keep_corrections(self._walk(fine, corrections, held, dabs), corrections)

    def _agreed(self, before: Tensor) -> Tensor:
        """Agreement without corrections; kept from dab to dab."""
        if self._first is None or not torch.equal(self._first[0], before):
            agreed = self.scene.crf.first(before, recalled=self.recalled is not None)
            self._first = before, agreed
        return self._first[1]

    def _blend(self, probabilities: Tensor, agreed: Tensor) -> Tensor:
        """Step 3: less of it where labels were decided pixel by pixel."""
        return probabilities + (1 - self.fine) * (agreed - probabilities)

    @cached_property
    def _spread_relevance(self) -> Tensor:
        """Relevance after step 1 without corrections, ``(K, h, w)``."""
        assert self.relevance is not None
        return self.scene.spreading(resize(self.relevance, self.scene.coarse))

    def spread(self, threshold: float, corrections: NDArray[np.int16] | None = None) -> Tensor:
        """Step 1 from relevance: probabilities ``(K + 1, gh, gw)``, background first.

        A class is as high at its best place as its relevance is: low where it is thought not to
        be in the image, unless a correction says that it is.
        """
        assert self.relevance is not None
        settled = self._spread_relevance
        low, high = settled.amin((1, 2), keepdim=True), settled.amax((1, 2), keepdim=True)
        peak = self.relevance.amax((1, 2), keepdim=True)
        if corrections is not None:
            peak[[place - 1 for place in np.unique(corrections).tolist() if place > 0]] = 1.0
        scores = resize((settled - low) / (high - low).clamp(min=1e-6) * peak, self.scene.grid)
        return self.options.probabilities(scores, threshold)

    def _from_seeds(self, seeds: NDArray[np.int16]) -> Tensor:
        """Step 1 from seeds alone, background being one of them: ``(K + 1, h, w)``."""
        scene = self.scene
        features = scene.features if scene.maps else None
        found = spread_seeds(
            seeds,
            self.n_classes,
            scene.superpixels,
            scene.lab * 100,
            features,
            self.options.seeding,
        )
        return scene.superpixels.paint(found)

    def _walk(
        self,
        prior: Tensor,
        corrections: NDArray[np.int16] | None,
        held: NDArray[np.int16] | None,
        dabs: Dabs | None,
    ) -> NDArray[np.uint8]:
        """Step 4: labels ``(H, W)``; hand-made seeds are ``held`` firmly, corrections exactly."""
        weight = self.options.trust * (1 + self.options.fine_trust * self.fine)
        trust = weight * (0.05 + margin_of(prior).square())
        if held is not None:
            seeds = observe(held, self.scene.work, self.n_classes)
            firm = seeds.mask
            if corrections is not None:
                # Corrections that contradict seeds drop the seeds around them.
                firm = firm & (seeds.targets.argmax(0) == prior.argmax(0))
            prior = torch.where(firm, seeds.targets, prior)
            trust = torch.where(firm, 1.0, trust)
        fixed, edges = None, self.scene.edges
        if corrections is not None and dabs is not None:
            edges = weaken_edges(edges, self.scene.learner.pull(dabs))
            seen = observe(corrections, self.scene.work, self.n_classes)
            fixed = seen.mask
            prior = torch.where(fixed, seen.targets, prior)
        # The background is what the classes leave, so it need not be solved for. It wins a tie.
        walked = random_walk(prior[1:], trust, edges, fixed=fixed)
        background = 1 + _TIE - walked.sum(0, keepdim=True)
        return to_full_resolution(torch.cat([background, walked]), self.scene.image)
