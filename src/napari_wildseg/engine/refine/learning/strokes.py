"""How uniform strokes are, and which of their pixels contradict the rest.

Strokes of people run over the edge of what they mean. The pixels beyond it look unlike most of the
stroke. Each pixel is weighted by its mean similarity to the stroke, relative to the most similar
pixel. The weights of a stroke have mean 1, so its total weight stays. A stroke over one thing, or
half on one and half on another, has equal weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.refine.learning.kernels import gaussian
from napari_wildseg.engine.refine.learning.reach import Dabs


def consistency(
    dabs: Dabs, superpixels: NDArray[np.int64], points: Tensor, exponent: float
) -> NDArray[np.float64]:
    """Weigh the pixels of strokes by how well they agree with their stroke.

    `superpixels`: ``(h, w)`` int64, beside ``dabs.index``: the superpixel of every pixel;
    `points`: ``(n, d)`` float32, what the Gaussian kernel compares of the superpixels, in units of
    its length scale; returns ``(h, w)`` float64 above 0, of mean 1 over each stroke; 1 outside
    strokes.
    """
    weights = np.ones(dabs.index.shape)
    inside = dabs.index >= 0
    found = np.ones(int(inside.sum()))
    for pixels, _, superpixel, counts, alike in _strokes(dabs, superpixels, points):
        shares = (alike / alike.max()) ** exponent
        found[pixels] = (shares / np.average(shares, weights=counts))[superpixel]
    weights[inside] = found
    return weights


def uniformity(dabs: Dabs, superpixels: NDArray[np.int64], points: Tensor) -> NDArray[np.float64]:
    """``(m,)`` in (0, 1]: mean kernel between the pixels of each stroke, 1 on one even thing.

    Parameters as for `consistency`.
    """
    return np.array(
        [
            float(counts @ alike) / float(counts.sum()) ** 2
            for _, _, _, counts, alike in _strokes(dabs, superpixels, points)
        ]
    )


def similarity(dabs: Dabs, superpixels: NDArray[np.int64], points: Tensor) -> Tensor:
    """Compare all superpixels with each stroke as a whole.

    Parameters as for `consistency`; returns ``(m, n)`` float32 in [0, 1]: the mean kernel to the
    pixels of each stroke, relative to its most typical pixel. So what is like the few pixels that
    run over an edge is not like the stroke.
    """
    weights = torch.zeros(len(dabs), len(points))
    for dab, (_, covered, _, counts, alike) in enumerate(_strokes(dabs, superpixels, points)):
        weights[dab, covered] = torch.from_numpy(counts / alike.max()).float()
    painted = weights.any(0)
    return (weights[:, painted] @ gaussian(points[painted], points)).clamp_(max=1)


def _strokes(
    dabs: Dabs, superpixels: NDArray[np.int64], points: Tensor
) -> Iterator[
    tuple[NDArray[np.bool_], Tensor, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
]:
    """Compare the pixels of each stroke with each other, by the superpixels that they lie on.

    Yields for each stroke: which of the painted pixels are its own, the superpixels under it, which
    of these each pixel lies on, the number of its pixels on each superpixel, and each superpixel's
    summed similarity.
    """
    inside = dabs.index >= 0
    stroke, superpixel = dabs.index[inside], superpixels[inside]
    for dab in range(len(dabs)):
        pixels = stroke == dab
        covered, inverse, counts = np.unique(
            superpixel[pixels], return_inverse=True, return_counts=True
        )
        under = torch.from_numpy(covered)
        own = points[under]
        alike = (gaussian(own, own).double() @ torch.from_numpy(counts).double()).numpy()
        yield pixels, under, inverse, counts, alike
