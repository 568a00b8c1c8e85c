"""Which pixels of a stroke contradict the rest of it.

People's strokes run over the edge of what they mean. The pixels beyond it look unlike most of the
stroke, so they count less: each as much as what it covers is alike to the whole stroke, compared
with what is most alike to it. A stroke over one thing counts in full, and so does one that is half
on one thing and half on another; altogether, a stroke counts what it counted.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.refine.learning.kernels import gaussian
from napari_wildseg.engine.refine.learning.reach import Dabs


def consistency(
    dabs: Dabs, pieces: NDArray[np.int64], points: Tensor, exponent: float
) -> NDArray[np.float64]:
    """Say how far each pixel of strokes agrees with its stroke.

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
        ``(h, w)`` float64 above 0, of mean 1 over each stroke: what contradicts it counts less,
        and the rest as much more; 1 outside strokes.
    """
    weights = np.ones(dabs.index.shape)
    inside = dabs.index >= 0
    stroke, piece = dabs.index[inside], pieces[inside]
    found = np.ones(len(stroke))
    for dab in range(len(dabs)):
        at = stroke == dab
        covered, inverse, counts = np.unique(piece[at], return_inverse=True, return_counts=True)
        if len(covered) < 2:
            continue
        own = points[torch.from_numpy(covered)]
        alike = (gaussian(own, own).double() @ torch.from_numpy(counts).double()).numpy()
        shares = (alike / alike.max()) ** exponent
        found[at] = (shares / np.average(shares, weights=counts))[inverse]
    weights[inside] = found
    return weights
