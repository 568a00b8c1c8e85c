"""Step 1 from seeds alone: labels of the superpixels without a seed.

The labels of an image's superpixels are a Gaussian process (Rasmussen & Williams, *Gaussian
Processes for Machine Learning*, 2006, ch. 2). Its kernel compares colours, textures, places and,
where they are given, the network's features. Seeds are its observations. So every label learns its
own colours from its seeds, several if need be, however few its seeds are beside those of another
label; far from all seeds none is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.refine.learning.observe import observe_superpixels
from napari_wildseg.engine.refine.superpixels import Superpixels


@dataclass(frozen=True)
class Seeding:
    """Settings, chosen by measurement (docs/method.md)."""

    colour: float = 8.0  # length scale in CIE Lab
    # Length scale of the mean difference between neighbouring pixels, in CIE L.
    texture: float = 3.0
    near: float = 1.5  # length scale over the image, in units of its longer side
    alike: float = 1.0  # length scale over unit feature vectors of the network
    noise: float = 0.05  # variance of seeds that cover their superpixel
    window: int = 7  # side of the square on which texture is averaged, in pixels


def spread_seeds(
    seeds: NDArray[np.int16],
    n_classes: int,
    superpixels: Superpixels,
    lab: Tensor,
    features: Tensor | None = None,
    options: Seeding | None = None,
) -> Tensor:
    """Give every superpixel probabilities from the seeds.

    `seeds`: ``(H, W)`` int16 over the image: -1 no seed, else 0..K; `lab`: ``(3, h, w)`` float32
    CIE Lab on the pixels that the superpixels are made of; `features`: ``(n, C)`` float32 unit rows
    (`Superpixels.features`); returns ``(n, K + 1)`` float32, above 0, rows sum to
    1; labels without a seed share what the others leave.
    """
    options = options or Seeding()
    shares, covered = observe_superpixels(
        seeds, superpixels.index, superpixels.sizes, n_classes + 1
    )
    seen = covered > 0
    if not bool(seen.any()):
        return torch.full_like(shares, 1 / (n_classes + 1))
    exponent = (
        torch.cdist(superpixels.colours, superpixels.colours[seen]).square() / options.colour**2
    )
    exponent += torch.cdist(superpixels.places, superpixels.places[seen]).square() / options.near**2
    texture = texture_of(lab, superpixels, options.window)
    exponent += torch.cdist(texture, texture[seen]).square() / options.texture**2
    if features is not None:
        exponent += (2 - 2 * features @ features[seen].T).clamp(min=0) / options.alike**2
    kernel = exponent.mul_(-0.5).exp_()
    seeded = (shares.sum(0) > 0).float()
    mean = seeded / seeded.sum()
    own = kernel[seen] + torch.diag(options.noise / covered[seen])
    factor = torch.linalg.cholesky(own)
    found = mean + kernel @ torch.cholesky_solve(shares[seen] - mean, factor)
    found = found.clamp(min=1e-4)
    return found / found.sum(1, keepdim=True)


def texture_of(lab: Tensor, superpixels: Superpixels, window: int) -> Tensor:
    """Describe how rough the superpixels are.

    `lab`: ``(3, h, w)`` float32 CIE Lab; returns ``(n, 2)`` float32: mean difference between
    vertical and horizontal neighbours, in CIE L.
    """
    light = lab[0]
    down = F.pad((light[1:] - light[:-1]).abs(), (0, 0, 0, 1))
    right = F.pad((light[:, 1:] - light[:, :-1]).abs(), (0, 1, 0, 0))
    rough = torch.stack([down, right])[None]
    return superpixels.average(F.avg_pool2d(rough, window, 1, window // 2)[0])
