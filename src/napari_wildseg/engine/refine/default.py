"""The default refiner: spread over the network's affinity, learn from dabs, walk to the edges.

Three steps, each a closed formula or a convex problem, so that the result depends on the image,
the seeds and the corrections alone, not on the order in which they came:

1. *Spread.* Relevance (or seeds) is averaged over places that the network finds alike
   (`affinity.softmax_affinity`), which fills objects that the relevance map only touched.
2. *Learn.* Corrections are taken as exact observations of a Gaussian process whose prior mean is
   the result of step 1 and whose kernel joins what looks alike and lies near: a dab moves all
   that belongs to it, and its influence fades with distance and dissimilarity
   (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, ch. 2).
3. *Walk.* A random walk with priors (`walk.random_walk`) on the pixels, with corrections as seeds,
   moves the boundaries to the image's edges; a joint bilateral step carries them to full
   resolution (Kopf et al., SIGGRAPH 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import rgb2lab
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.affinity import node_features, softmax_affinity, spread
from napari_wildseg.engine.refine.observe import Observations, observe, posterior
from napari_wildseg.engine.refine.upsample import to_full_resolution
from napari_wildseg.engine.refine.walk import edge_weights, random_walk


@dataclass(frozen=True)
class DefaultOptions:
    """Settings of the default refiner; see the module's text for the steps."""

    temperature: float = 0.1
    colour: float = 15.0
    rounds: int = 48
    sharpness: float = 10.0
    bias: float = 0.05
    work_pixels: int = 90_000
    beta: float = 3.0
    trust: float = 0.02


class DefaultRefinement:
    """Refines one image again and again; what depends on the image alone is computed once.

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    n_classes : int
        K, background not counted.
    features : sequence of ndarray
        The network's local features, each ``(C, h, w)`` float32; colour and place are used
        where there are none.
    relevance : ndarray or None
        ``(K, gh, gw)`` float32 in [0, 1]; None to work from the seeds alone.
    """

    name = "default"

    def __init__(
        self,
        image: NDArray[np.uint8],
        n_classes: int,
        features: Sequence[NDArray[np.float32]],
        relevance: NDArray[np.float32] | None,
        options: DefaultOptions | None = None,
    ) -> None:
        self.options = options or DefaultOptions()
        self.image = image
        self.n_classes = n_classes
        self.relevance = None if relevance is None else torch.from_numpy(relevance)
        height, width = image.shape[:2]
        scale = min(1.0, (self.options.work_pixels / (height * width)) ** 0.5)
        self.work = (max(2, round(height * scale)), max(2, round(width * scale)))
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        small = F.interpolate(
            pixels, self.work, mode="bilinear", antialias=scale < 1, align_corners=False
        )
        lab = rgb2lab(small[0].permute(1, 2, 0).numpy() / 255).astype(np.float32) / 100
        self.lab = torch.from_numpy(lab).permute(2, 0, 1)
        side = 72 if relevance is None else (relevance.shape[1] * relevance.shape[2]) ** 0.5
        shrink = min(1.0, side / (self.work[0] * self.work[1]) ** 0.5)
        self.grid = (
            (max(2, round(self.work[0] * shrink)), max(2, round(self.work[1] * shrink)))
            if relevance is None
            else (relevance.shape[1], relevance.shape[2])
        )
        self.coarse = (max(2, self.grid[0] // 2), max(2, self.grid[1] // 2))
        self.maps = [torch.from_numpy(f) for f in features]
        self.edges = edge_weights(self.lab, self.options.beta)
        self._affinity: Tensor | None = None
        self._prior: tuple[bytes, Tensor] | None = None
        self._nodes: Tensor | None = None

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine; see `napari_wildseg.engine.refine.Refinement.run_steps`."""
        yield Progress(0, 3, "Spreading over similar places")
        prior = self._spread(seeds, threshold)
        yield Progress(1, 3, "Learning from corrections")
        seen = None if corrections is None else observe(corrections, self.grid, self.n_classes)
        if seen is not None and seen.count:
            prior = posterior(prior, seen, self.nodes, self.grid)
        yield Progress(2, 3, "Finding the edges")
        labels = self._walk(prior, corrections)
        if corrections is not None:
            np.copyto(labels, corrections.astype(np.uint8), where=corrections >= 0)
        return labels

    @property
    def nodes(self) -> Tensor:
        """``(gh * gw, C)`` features of the grid's cells, for step 2."""
        if self._nodes is None:
            self._nodes = node_features([*self.maps, self.lab], self.grid)
        return self._nodes

    def _spread(self, seeds: NDArray[np.uint8] | None, threshold: float | None) -> Tensor:
        """Step 1: probabilities ``(K + 1, gh, gw)``, background first."""
        options = self.options
        if self._affinity is None:
            colours = _resize(self.lab, self.coarse).flatten(1).T * 100
            self._affinity = softmax_affinity(
                node_features(self.maps[-1:] or [self.lab], self.coarse),
                options.temperature,
                colours / options.colour,
            )
        if self.relevance is not None and threshold is not None:
            start = _resize(self.relevance, self.coarse)
            scores = spread(self._affinity, start, options.rounds)
            low, high = scores.amin((1, 2), keepdim=True), scores.amax((1, 2), keepdim=True)
            scores = _resize((scores - low) / (high - low).clamp(min=1e-6), self.grid)
            floor = torch.full_like(scores[:1], threshold + options.bias)
        else:
            if seeds is None:
                raise ValueError("seeds are needed where there is no relevance")
            hot = torch.stack(
                [torch.from_numpy(seeds == k).float() for k in range(self.n_classes + 1)]
            )
            start = _resize(hot, self.coarse)
            both = spread(self._affinity, start, options.rounds)
            both = both / both.sum(0, keepdim=True).clamp(min=1e-6)
            both = _resize(both, self.grid)
            scores, floor = both[1:], both[:1]
        return torch.softmax(torch.cat([floor, scores]) * options.sharpness, dim=0)

    def _walk(self, prior: Tensor, corrections: NDArray[np.int16] | None) -> NDArray[np.uint8]:
        """Step 3: labels ``(H, W)``."""
        sized = _resize(prior, self.work)
        top = sized.topk(min(2, len(sized)), dim=0).values
        sure = (top[0] - top[-1]) if len(sized) > 1 else top[0]
        trust = self.options.trust * (0.05 + sure.square())
        fixed = None
        if corrections is not None and (corrections >= 0).any():
            seen: Observations = observe(corrections, self.work, self.n_classes)
            fixed = seen.mask
            sized = torch.where(fixed, seen.targets, sized)
        walked = random_walk(sized, trust, self.edges, fixed=fixed)
        return to_full_resolution(walked, self.image)


def _resize(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(
        maps[None],
        shape,
        mode="bilinear",
        align_corners=False,
        antialias=maps.shape[-1] > shape[1],
    )[0]
