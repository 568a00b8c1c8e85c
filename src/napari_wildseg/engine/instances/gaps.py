"""Parts of one object on both sides of a thin gap."""

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.instances.parts import contacts_of, find


def bridged(
    parts: NDArray[np.int32], gap: int, closed: NDArray[np.bool_] | None
) -> NDArray[np.int32]:
    """Join objects of different connected regions that a thin gap separates.

    `parts`: ``(H, W)`` int32: objects of one class; `closed`: ``(H, W)`` bool: strokes that no
    object crosses; returns ``(H, W)`` int32: objects that were joined have the least of their
    numbers.
    """
    from scipy import ndimage

    distance, where = ndimage.distance_transform_edt(parts == 0, return_indices=True)
    nearest = parts[tuple(where)]
    # Two pixels in the middle of a gap, one nearest to each side: the gap is what both cross.
    reach = distance <= gap / 2 + 0.5
    if closed is not None:
        reach &= ~closed
    nearest = np.where(reach, nearest, 0).astype(np.int32)
    regions = ndimage.label(parts > 0)[0][tuple(where)].ravel()
    contacts = contacts_of(nearest)
    width = distance.ravel()[contacts.first] + distance.ravel()[contacts.second] - 1
    crossed = (width <= gap) & (regions[contacts.first] != regions[contacts.second])
    flat = nearest.ravel()
    root = list(range(int(parts.max(initial=0)) + 1))
    pairs = np.stack([flat[contacts.first[crossed]], flat[contacts.second[crossed]]], axis=1)
    for one, other in np.unique(pairs, axis=0).tolist():
        low, high = sorted((find(root, one), find(root, other)))
        root[high] = low
    return np.array([find(root, n) for n in range(len(root))], np.int32)[parts]
