"""Maps of one image for one list of classes, the input of threshold and corrections.

Inside the engine, labels are class indices (1 for the first class); outside, they are class ids.
This module alone converts between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_wildseg.engine.classes import UNLABELLED, ClassInfo
from napari_wildseg.engine.corrections import checked_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.maps.presence import Presence
from napari_wildseg.engine.maps.pseudo_labels import GAMMA, Evidence, normalise
from napari_wildseg.engine.memory.recall import Recalled
from napari_wildseg.engine.refine import Refinement
from napari_wildseg.engine.refine.default import DefaultRefinement


@dataclass
class Segmentation:
    """Maps of one image and class list, for refinement, threshold and stages."""

    classes: tuple[ClassInfo, ...]  # the K classes
    grid_relevance: torch.Tensor  # ``(K, gh, gw)`` float32 in [0, 1]
    relevance: NDArray[np.float32]  # ``(K, H, W)`` float32 in [0, 1]
    evidence: Evidence  # derived from `relevance`; gives pseudo-labels at any threshold
    presence: Presence  # whether each class is in the image
    # The last refinement, kept since a second run is much faster.
    refinement: Refinement | None = None
    # Spreads the maps over superpixels for a memory; same object as `refinement` where possible.
    reader: DefaultRefinement | None = None
    recalled: Recalled | None = None  # the class memory's prediction

    @classmethod
    def begin(
        cls,
        classes: tuple[ClassInfo, ...],
        maps: torch.Tensor,
        presence: Presence,
        shape: tuple[int, int],
    ) -> Segmentation:
        """Create from merged relevance maps.

        `maps`: ``(K, gh, gw)`` float32, not normalised; `shape`: ``(H, W)`` of the image.
        """
        grid = normalise(maps, presence=presence)
        full = to_pixels(grid, shape)
        return cls(classes, grid, full, Evidence(full), presence)

    def take(self, recalled: Recalled) -> None:
        """Replace the maps by the class memory's prediction."""
        self.recalled = recalled
        if recalled.scores is not None:
            assert self.reader is not None
            self.reader.recalled = recalled.scores
            self.reader.fine = recalled.fine
            self.reader.belief = recalled.belief
            maps = (recalled.scores - self.reader.options.bias).clamp(0, 1)
            self.relevance = resize(maps, self._shape).numpy()
            self.evidence = Evidence(self.relevance)

    @property
    def left_out(self) -> tuple[ClassInfo, ...]:
        """The classes that were not found in the image."""
        absent = self.presence.absent.tolist()
        return tuple(info for info, out in zip(self.classes, absent, strict=True) if out)

    def to_ids(self, places: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert class indices to class ids; 0 and 255 stay."""
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(self.classes) + 1] = self._ids
        return table.take(places)

    def corrections_to_indices(
        self, corrections: NDArray[np.integer[Any]] | None
    ) -> NDArray[np.int16] | None:
        """Check corrections and convert their ids to class indices; -1 stays."""
        if corrections is None:
            return None
        fixed = checked_corrections(corrections, self._shape, self._ids)
        return np.where(fixed < 0, np.int16(-1), self._to_index[fixed])

    def corrections_to_ids(self, places: NDArray[np.int16]) -> NDArray[np.int16]:
        """Convert class indices in corrections to class ids; -1 stays."""
        ids = self.to_ids(np.maximum(places, 0).astype(np.uint8))
        return np.where(places < 0, np.int16(-1), ids)

    def pseudo_labels_to_indices(
        self, pseudo_labels: NDArray[np.integer[Any]] | None
    ) -> NDArray[np.uint8] | None:
        """Check pseudo-labels and convert their ids to class indices; 0 and 255 stay."""
        if pseudo_labels is None:
            return None
        seeds = np.asarray(pseudo_labels)
        allowed = np.isin(seeds, [0, UNLABELLED, *self._ids])
        if seeds.dtype.kind not in "iu" or seeds.shape != self._shape or not allowed.all():
            raise InputError(
                "The pseudo-labels do not fit: give one value a pixel, 0, 255 or the id of a class."
            )
        return self._to_index[seeds].astype(np.uint8)

    @property
    def _ids(self) -> list[int]:
        return [info.id for info in self.classes]

    @property
    def _shape(self) -> tuple[int, int]:
        height, width = self.relevance.shape[1:]
        return (height, width)

    @property
    def _to_index(self) -> NDArray[np.int16]:
        table = np.full(256, -1, np.int16)
        table[[0, *self._ids]] = np.arange(len(self.classes) + 1)
        table[UNLABELLED] = UNLABELLED
        return table


def to_pixels(maps: torch.Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize normalised maps ``(K, gh, gw)`` to ``(K, H, W)`` and apply the exponent `GAMMA`.

    `shape`: ``(H, W)``.
    """
    full = F.interpolate(maps[None] ** GAMMA, shape, mode="bilinear", align_corners=False)[0]
    return full.numpy()
