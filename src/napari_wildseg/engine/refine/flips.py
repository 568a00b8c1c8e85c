"""What a dab changes far away has to be clearer than what it changes where it is.

A dab repairs the region it lies in for sure. Regions elsewhere that look like it may belong to it,
as one nucleus to another, or may have been right all along.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from napari_wildseg.engine.refine.superpixels import Superpixels


def drop_weak_flips(
    before: Tensor, after: Tensor, pieces: Superpixels, dabbed: Tensor, least: float
) -> Tensor:
    """Take back changes of label in regions without a dab, where they are not clear.

    Parameters
    ----------
    before, after : torch.Tensor
        ``(n, K + 1)`` float32 scores of the pieces' labels.
    pieces : Superpixels
        Of the image.
    dabbed : torch.Tensor
        ``(n, K + 1)`` bool: the piece holds a correction of the label.
    least : float
        A region is neighbouring pieces that change to one label. It keeps its change where one of
        them is dabbed with that label, or where the new label leads the old one by so much,
        averaged over the region's pixels.

    Returns
    -------
    torch.Tensor
        ``(n, K + 1)``: ``after``, and ``before`` in the regions that are taken back.
    """
    old, new = before.argmax(1), after.argmax(1)
    flipped = (old != new).numpy()
    if not flipped.any():
        return after
    a, b = pieces.neighbours.T
    labels = new.numpy()
    joined = flipped[a] & flipped[b] & (labels[a] == labels[b])
    ones = np.ones(int(joined.sum()), np.uint8)
    graph = sparse.coo_matrix((ones, (a[joined], b[joined])), shape=(len(pieces), len(pieces)))
    count, region = connected_components(graph, directed=False)
    rows = torch.arange(len(pieces))
    lead = (after[rows, new] - after[rows, old]).numpy()
    sizes = np.bincount(region, weights=pieces.sizes, minlength=count)
    mean_lead = np.bincount(region, weights=lead * pieces.sizes, minlength=count) / sizes
    has_dab = np.bincount(region, weights=dabbed[rows, new].numpy(), minlength=count) > 0
    weak = flipped & (~has_dab & (mean_lead < least))[region]
    return torch.where(torch.from_numpy(weak)[:, None], before, after)
