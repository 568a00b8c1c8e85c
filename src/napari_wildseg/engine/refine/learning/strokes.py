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
    dabs: Dabs, pieces: NDArray[np.int64], points: Tensor, exponent: float
) -> NDArray[np.float64]:
    """Weigh the pixels of strokes by how well they agree with their stroke.

    Parameters
    ----------
    dabs : Dabs
        The strokes.
    pieces : ndarray
        ``(h, w)`` int64, beside ``dabs.index``: the piece of every pixel.
    points : torch.Tensor
        ``(n, d)`` float32, what the Gaussian kernel compares of the pieces, in units of its length
        scale.
    exponent : float
        Of the share; higher leaves less to pixels that contradict their stroke.

    Returns
    -------
    ndarray
        ``(h, w)`` float64 above 0, of mean 1 over each stroke; 1 outside strokes.
    """
    weights = np.ones(dabs.index.shape)
    inside = dabs.index >= 0
    found = np.ones(int(inside.sum()))
    for pixels, piece, counts, alike in _strokes(dabs, pieces, points):
        shares = (alike / alike.max()) ** exponent
        found[pixels] = (shares / np.average(shares, weights=counts))[piece]
    weights[inside] = found
    return weights


def uniformity(dabs: Dabs, pieces: NDArray[np.int64], points: Tensor) -> NDArray[np.float64]:
    """``(m,)`` in (0, 1]: mean kernel between the pixels of each stroke, 1 on one even thing.

    Parameters as for `consistency`.
    """
    return np.array(
        [
            float(counts @ alike) / float(counts.sum()) ** 2
            for _, _, counts, alike in _strokes(dabs, pieces, points)
        ]
    )


def _strokes(
    dabs: Dabs, pieces: NDArray[np.int64], points: Tensor
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Compare the pixels of each stroke with each other, by the superpixels that they lie on.

    Yields, stroke by stroke: which of the painted pixels are its own, which of the pieces under it
    each lies on, the number of its pixels on each piece, and each piece's summed similarity.
    """
    inside = dabs.index >= 0
    stroke, piece = dabs.index[inside], pieces[inside]
    for dab in range(len(dabs)):
        pixels = stroke == dab
        covered, inverse, counts = np.unique(piece[pixels], return_inverse=True, return_counts=True)
        own = points[torch.from_numpy(covered)]
        alike = (gaussian(own, own).double() @ torch.from_numpy(counts).double()).numpy()
        yield pixels, inverse, counts, alike
