"""Parts of a mask by its shape: basins of the distance to the mask's edge, joined over wide necks.

The depth of a pixel is its distance to the nearest pixel outside the mask. Each object has its
deepest places in its middle; where two objects touch, the depth falls towards the neck between
them. The ratio of the neck's depth to the smaller middle's depth does not depend on the size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.8
"""Sigma, in pixels, of the Gaussian that takes the steps of the pixel grid out of the depth."""

SAME_PART = 0.99
"""Basins whose neck is at least this deep, as a share of the smaller middle, are one part."""


@dataclass(frozen=True)
class Contacts:
    """Pairs of neighbouring pixels that belong to different parts.

    Attributes
    ----------
    first, second : ndarray
        ``(N,)`` places in the flattened mask.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]


def depth_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the smoothed distance to the mask's edge, in pixels; 0 outside the mask.

    `mask`: ``(H, W)`` bool.
    """
    from scipy import ndimage

    if mask.all():
        return np.ones(mask.shape, np.float32)
    distance = ndimage.distance_transform_edt(mask).astype(np.float32)
    smooth = ndimage.gaussian_filter(distance, SMOOTHING, truncate=2.5, mode="nearest")
    smooth[~mask] = 0
    return smooth


def box_of(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice] | None:
    """Return the box of a mask and a margin round it; None if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def parts_of(mask: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the parts of a mask, numbered from 1.

    `mask`: ``(H, W)`` bool; `depth`: ``(H, W)`` float32, by `depth_of`; returns ``(H, W)`` int32, 0
    outside the mask.
    """
    from scipy import ndimage
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    if mask.all() or not mask.any():  # one part, or none
        return mask.astype(np.int32)
    # Ties go to the pixel that rows meet first: otherwise far regions would decide them.
    ties = np.arange(depth.size, dtype=np.float64).reshape(depth.shape) * 1e-14
    markers, _ = ndimage.label(local_maxima(depth, connectivity=1) & mask)
    basins = watershed(ties - depth, markers, mask=mask, connectivity=1).astype(np.int32)
    contacts = contacts_of(basins)
    flat = basins.ravel()
    first, second = flat[contacts.first], flat[contacts.second]
    saddles = np.minimum(depth.ravel()[contacts.first], depth.ravel()[contacts.second])
    peaks = peaks_of(basins, depth)
    # The deepest neck of each pair is enough; necks in falling order.
    order = np.lexsort((-saddles, second, first))
    pairs = np.stack([first, second], axis=1)[order]
    new = np.r_[True, (np.diff(pairs, axis=0) != 0).any(axis=1)] if len(pairs) else []
    pairs, saddles = pairs[new], saddles[order][new]
    order = np.argsort(-saddles, kind="stable")
    root = list(range(len(peaks)))
    height = peaks.tolist()
    for (one, other), saddle in zip(pairs[order].tolist(), saddles[order].tolist(), strict=True):
        low, high = sorted((find(root, one), find(root, other)), key=lambda n: (height[n], -n))
        if low != high and saddle >= SAME_PART * height[low]:
            root[low] = high
    return renumbered(np.array([find(root, n) for n in range(len(root))])[basins])


def find(root: list[int], number: int) -> int:
    """Return what a number was joined to, shortening the way for the next time."""
    while root[number] != number:
        root[number] = root[root[number]]
        number = root[number]
    return number


def contacts_of(parts: NDArray[np.int32]) -> Contacts:
    """Return the pairs of edge-connected pixels of different parts, the smaller part first.

    `parts`: ``(H, W)`` int32, 0 for none.
    """
    places = np.arange(parts.size).reshape(parts.shape)
    found = []
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        a, b = parts[one], parts[other]
        touch = (a != b) & (a > 0) & (b > 0)
        p, q = places[one][touch], places[other][touch]
        swap = a[touch] > b[touch]
        found.append((np.where(swap, q, p), np.where(swap, p, q)))
    first, second = (np.concatenate(each) for each in zip(*found, strict=True))
    return Contacts(first, second)


def peaks_of(parts: NDArray[np.int32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the greatest depth of each part.

    `parts`: ``(H, W)`` int32; `depth`: ``(H, W)`` float32; returns ``(n + 1,)`` float32.
    """
    peaks = np.zeros(int(parts.max()) + 1, np.float32)
    np.maximum.at(peaks, parts.ravel(), depth.ravel())
    return peaks


def renumbered(parts: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number parts from 1 in the order in which rows meet them; 0 stays."""
    flat = parts.ravel()
    first = np.full(int(flat.max(initial=0)) + 1, flat.size)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    first[0] = -1
    found = np.flatnonzero(first < flat.size)
    numbers = np.zeros(len(first), np.int32)
    numbers[found[np.argsort(first[found], kind="stable")]] = np.arange(len(found))
    return np.asarray(numbers[parts])
