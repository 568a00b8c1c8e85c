"""What the default refiner knows of an image whatever the classes are.

All of it is worked out when it is first needed, and kept: other class names for the same image, or
more corrections, find it there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.images.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.images.pixels import lab_of, resize
from napari_wildseg.engine.refine.agreement import DenseCRF
from napari_wildseg.engine.refine.learning.learn import Learner
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.spreading import Spreading
from napari_wildseg.engine.refine.superpixels import Superpixels
from napari_wildseg.engine.refine.walk import edge_weights


class Scene:
    """Colours, edges, superpixels and affinities of one image.

    `image`: ``(H, W, 3)`` uint8.

    Attributes
    ----------
    work, grid, coarse : tuple of int
        ``(h, w)`` of the pixels that are walked on, of the prior, and of spreading.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        features: Sequence[NDArray[np.float32]],
        options: DefaultOptions,
    ) -> None:
        self.image = image
        self._features = features
        self._options = options
        shape = (image.shape[0], image.shape[1])
        self.work = grid_of(shape, math.sqrt(options.work_pixels))
        self.grid = grid_of(shape, GRID_SIDE)
        self.coarse = grid_of(shape, GRID_SIDE / 2)

    @cached_property
    def lab(self) -> Tensor:
        """``(3, h, w)`` float32 CIE Lab divided by 100, of the `work` pixels."""
        pixels = torch.from_numpy(np.array(self.image)).permute(2, 0, 1).float()
        return lab_of(resize(pixels, self.work).permute(1, 2, 0).numpy()) / 100

    @cached_property
    def edges(self) -> tuple[Tensor, Tensor]:
        """Between neighbouring `work` pixels (`walk.edge_weights`)."""
        return edge_weights(self.lab, self._options.beta)

    @cached_property
    def maps(self) -> list[Tensor]:
        """All features; read when they are needed, since to merge them takes time."""
        return [torch.from_numpy(f) for f in self._features]

    @cached_property
    def superpixels(self) -> Superpixels:
        """The image's superpixels."""
        return Superpixels.of(self.lab * 100, self._options.superpixels)

    @cached_property
    def features(self) -> Tensor:
        """``(n, C)``, how they look to the network."""
        return self.superpixels.features(self.maps)

    @cached_property
    def learner(self) -> Learner:
        """What learns from corrections; needed once there are any."""
        return Learner(self.superpixels, self.features, self._options.learning)

    @cached_property
    def crf(self) -> DenseCRF:
        """What lets the superpixels agree."""
        return DenseCRF(self.superpixels, self.features, self._options.agreement)

    @cached_property
    def spreading(self) -> Spreading:
        """What spreads maps on the `coarse` grid over similar places."""
        return Spreading.over(self.lab, self.maps, self.coarse, self._options)
