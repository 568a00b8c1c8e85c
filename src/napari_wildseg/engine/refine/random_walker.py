"""Grady's random walker on the pixels (scikit-image), for comparison and for hand-made seeds.

Grady, *Random Walks for Image Segmentation*, IEEE TPAMI 2006. Large images are solved at a lower
resolution; labels come back to full resolution by joint bilateral upsampling.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import random_walker
from skimage.transform import resize

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.images.grid import grid_of
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.learning.observe import as_corrections, observe
from napari_wildseg.engine.refine.upsample import to_full_resolution


@dataclass(frozen=True)
class RandomWalkerOptions:
    """Settings."""

    beta: float = 130.0  # contrast, as scikit-image's
    work_pixels: int = 90_000  # size at which the walk is solved


class RandomWalkerRefinement:
    """Uses the seeds and colours alone; see `Refinement`."""

    name = "random_walker"

    def __init__(
        self,
        image: NDArray[np.uint8],
        n_classes: int,
        features: Sequence[NDArray[np.float32]],
        relevance: NDArray[np.float32] | None,
        options: RandomWalkerOptions | None = None,
    ) -> None:
        self.options = options or RandomWalkerOptions()
        self.image = image
        self.n_classes = n_classes
        shape = (image.shape[0], image.shape[1])
        self.work = grid_of(shape, math.sqrt(self.options.work_pixels))
        small = resize(image, self.work, order=1, anti_aliasing=self.work != shape)
        self.small: NDArray[np.float64] = np.asarray(small)
        if not self.small.std():
            # scikit-image divides by the contrast; on so faint a ramp all edges weigh the same.
            self.small = self.small + np.linspace(0, 1e-6, self.work[1])[:, None]

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine; see `napari_wildseg.engine.refine.Refinement.run_steps`."""
        yield Progress(0, 1, "Walking from the seeds")
        labels = np.full(self.work, UNLABELLED, np.int16)
        sources = [] if seeds is None else [as_corrections(seeds)]
        sources += [] if corrections is None else [corrections]
        for source in sources:  # corrections last: they win
            seen = observe(source, self.work, self.n_classes)
            winner = seen.targets.argmax(0).numpy()
            np.copyto(labels, winner, where=seen.mask.numpy(), casting="unsafe")
        present = np.unique(labels[labels != UNLABELLED])
        if len(present) < 2 or not (labels == UNLABELLED).any():
            fill = present[0] if len(present) else 0
            small = np.where(labels == UNLABELLED, fill, labels)
            chances = torch.from_numpy(small == np.arange(self.n_classes + 1)[:, None, None])
            result = to_full_resolution(chances.float(), self.image)
        else:
            result = to_full_resolution(self._walk(labels, present), self.image)
        return keep_corrections(result, corrections)

    def _walk(self, labels: NDArray[np.int16], present: NDArray[np.int16]) -> torch.Tensor:
        markers = np.zeros(self.work, np.int32)
        for position, value in enumerate(present, start=1):
            markers[labels == value] = position
        with warnings.catch_warnings():
            # scikit-image warns where a region holds no seed; such pixels become background.
            warnings.simplefilter("ignore", UserWarning)
            chances = random_walker(
                self.small,
                markers,
                beta=self.options.beta,
                mode="cg_j",
                channel_axis=-1,
                return_full_prob=True,
            )
        out = torch.zeros(self.n_classes + 1, *self.work)
        out[torch.from_numpy(present.astype(np.int64))] = torch.from_numpy(
            np.nan_to_num(np.maximum(chances, 0)).astype(np.float32)
        )
        return out
