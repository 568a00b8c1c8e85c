"""Differentiable feature clustering with scribbles: the published reference, for comparison.

Kim, Kanezaki & Tanaka, *Unsupervised Learning of Image Segmentation Based on Differentiable
Feature Clustering*, IEEE TIP 2020, arXiv 2007.09990, the variant with scribbles: a small CNN is
trained on the one image so that its answers agree with themselves, with the labelled pixels and
with their neighbours.

Three known defects are mended, and nothing else is changed:

* the last argmax runs over the channels of the classes only, where the published one runs over
  all 100 and leaves pixels in clusters of no class;
* corrections are written over the result, where the published loss only leans towards them;
* the random initialisation is seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.classes import UNLABELLED
from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.progress import Progress, Steps


@dataclass(frozen=True)
class KimOptions:
    """Settings as published.

    Attributes
    ----------
    learning_rate, momentum : float
        Of the gradient descent.
    similarity, scribble, continuity : float
        Weights of the three losses.
    """

    iterations: int = 1000  # steps of gradient descent at most
    channels: int = 100  # width of the network and number of clusters it starts with
    convolutions: int = 2  # 3 x 3 layers
    learning_rate: float = 0.1
    momentum: float = 0.9
    similarity: float = 1.0
    scribble: float = 0.5
    continuity: float = 1.0
    seed: int = 0  # of the initialisation


class KimRefinement:
    """Trains a network of its own at every run; see the module's text and `Refinement`."""

    name = "kim2020"

    def __init__(
        self,
        image: NDArray[np.uint8],
        n_classes: int,
        features: Sequence[NDArray[np.float32]],
        relevance: NDArray[np.float32] | None,
        options: KimOptions | None = None,
    ) -> None:
        self.options = options or KimOptions()
        if n_classes + 1 > self.options.channels:
            raise InputError(
                f"The refiner kim2020 tells at most {self.options.channels - 1} classes apart; "
                f"{n_classes} were given."
            )
        self.n_classes = n_classes
        self.pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255

    def run_steps(
        self,
        seeds: NDArray[np.uint8] | None,
        corrections: NDArray[np.int16] | None,
        threshold: float | None,
    ) -> Steps[NDArray[np.uint8]]:
        """Refine; see `napari_wildseg.engine.refine.Refinement.run_steps`."""
        options = self.options
        labels = np.full(self.pixels.shape[2:], UNLABELLED, np.int64)
        if seeds is not None:
            labels[:] = seeds
        if corrections is not None:
            np.copyto(labels, corrections, where=corrections >= 0)
        target = torch.from_numpy(labels)
        labelled = target != UNLABELLED
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = _network(options)
        optimiser = torch.optim.SGD(
            network.parameters(), lr=options.learning_rate, momentum=options.momentum
        )
        for iteration in range(options.iterations):
            yield Progress(iteration, options.iterations, "Training on this image (kim2020)")
            optimiser.zero_grad()
            output = network(self.pixels)[0]
            clusters = output.argmax(0)
            loss = self._loss(output, clusters, target, labelled)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if len(clusters.unique()) <= self.n_classes + 1:
                break
        with torch.no_grad():
            # The network stays in training mode, as published: its batch is the image itself.
            output = network(self.pixels)[0, : self.n_classes + 1]
        result: NDArray[np.uint8] = output.argmax(0).numpy().astype(np.uint8)
        return keep_corrections(result, corrections)

    def _loss(self, output: Tensor, clusters: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        options = self.options
        rows = output.flatten(1).T
        known = labelled.flatten()
        loss = options.continuity * (
            (output[:, 1:] - output[:, :-1]).abs().mean()
            + (output[:, :, 1:] - output[:, :, :-1]).abs().mean()
        )
        if not known.all():
            loss = loss + options.similarity * F.cross_entropy(
                rows[~known], clusters.flatten()[~known]
            )
        if known.any():
            loss = loss + options.scribble * F.cross_entropy(rows[known], target.flatten()[known])
        return loss


def _network(options: KimOptions) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for _ in range(options.convolutions):
        layers += [
            nn.Conv2d(inputs, options.channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(options.channels),
        ]
        inputs = options.channels
    layers += [nn.Conv2d(inputs, options.channels, 1), nn.BatchNorm2d(options.channels)]
    return nn.Sequential(*layers)
