"""GrabCut, one class against all others at a time: a yardstick for comparisons, never the default.

Rother, Kolmogorov & Blake, *GrabCut*, SIGGRAPH 2004, as OpenCV has it: colour mixtures of what is
inside and outside, and a graph cut, in turns. It needs OpenCV (``napari-wildseg[grabcut]``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.learning.observe import as_corrections


@dataclass(frozen=True)
class GrabCutOptions:
    """Settings."""

    rounds: int = 5  # how often mixtures and cut take turns


class GrabCutRefinement:
    """Uses the seeds and colours alone; see `Refinement`.

    Seeds may be drawn anew by the cut, corrections not. A pixel that several classes claim stays
    with the class whose seeds are nearest.
    """

    name = "grabcut"

    def __init__(
        self,
        image: NDArray[np.uint8],
        n_classes: int,
        features: Sequence[NDArray[np.float32]],
        relevance: NDArray[np.float32] | None,
        options: GrabCutOptions | None = None,
    ) -> None:
        try:
            import cv2
        except ImportError as error:
            raise InputError(
                'The refiner "grabcut" needs OpenCV: pip install "napari-wildseg[grabcut]".'
            ) from error
        self._cv2 = cv2
        self.options = options or GrabCutOptions()
        self.image = np.ascontiguousarray(image[..., ::-1])
        self.n_classes = n_classes

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine; see `napari_wildseg.engine.refine.Refinement.run_steps`."""
        shape = self.image.shape[:2]
        hints = np.full(shape, -1, np.int16) if seeds is None else as_corrections(seeds)
        firm = np.zeros(shape, bool)
        if corrections is not None:
            firm = corrections >= 0
            np.copyto(hints, corrections, where=firm)
        labels = np.zeros(shape, np.uint8)
        nearest = np.full(shape, np.inf)
        present = [int(k) for k in np.unique(hints[hints > 0])]
        for done, k in enumerate(present):
            yield Progress(done, len(present), f"Cutting class {done + 1} of {len(present)}")
            inside = self._cut(hints, firm, k)
            distance = ndimage.distance_transform_edt(hints != k)
            claimed = inside & (distance < nearest)
            labels[claimed] = k
            nearest[claimed] = distance[claimed]
        return keep_corrections(labels, corrections)

    def _cut(self, hints: NDArray[np.int16], firm: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
        """``(H, W)`` bool: where class ``k`` is."""
        cv2 = self._cv2
        ours: NDArray[np.bool_] = hints == k
        mask = np.where(ours, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        mask[firm & ours] = cv2.GC_FGD
        mask[firm & ~ours] = cv2.GC_BGD
        background = (hints >= 0) & ~ours
        if not background.any() or ours.all():
            return ours  # two mixtures need pixels of two kinds
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(self.image, mask, None, *models, self.options.rounds, cv2.GC_INIT_WITH_MASK)
        found: NDArray[np.bool_] = np.isin(mask, [cv2.GC_FGD, cv2.GC_PR_FGD])
        return found
