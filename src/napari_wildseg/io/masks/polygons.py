"""Lossless conversion of regions to polygons along pixel edges, and back."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Steps along pixel edges: right, down, left, up.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def components(
    mask: NDArray[np.bool_], connectivity: int = 2, min_size: int = 0
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Yield the connected regions of a mask in reading order: top row, left column and mask.

    Regions of fewer than ``min_size`` pixels are merged into the nearest larger one.

    `mask`: ``(H, W)`` bool.
    """
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(2, connectivity)
    regions, _ = ndimage.label(mask, structure=structure)
    small = np.bincount(regions.ravel()) < min_size
    small[0] = False
    if small[1:].all() and small.any():
        regions = mask.astype(np.int32)
    elif small.any():
        kept = np.where(small[regions], 0, regions)
        nearest = ndimage.distance_transform_edt(
            kept == 0, return_distances=False, return_indices=True
        )
        regions = np.where(mask, kept[tuple(nearest)], 0)
    for n, box in enumerate(ndimage.find_objects(regions), start=1):
        if box is not None:
            rows, columns = box
            yield rows.start, columns.start, np.asarray(regions[rows, columns] == n)


def mask_to_polygons(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Convert a mask to polygons without holes that together cover exactly its pixels.

    `mask`: ``(H, W)`` bool; returns ``(N, 2)`` corners as (x, y); the pixel in row 0 and column 0
    spans 0..1.
    """
    from scipy import ndimage

    found = []
    regions, _ = ndimage.label(mask)
    for n, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
        part = regions[rows, columns] == n
        for top, piece in _without_holes(part, 0):
            found.append(_outline(piece) + np.array([columns.start, rows.start + top]))
    return found


def polygon_to_mask(
    corners: Sequence[Sequence[float]] | NDArray[np.floating], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the mask of the pixels whose centres are inside a polygon.

    `corners`: ``(N, 2)`` as (x, y).
    """
    from skimage.draw import polygon

    mask = np.zeros(shape, bool)
    points = np.asarray(corners, np.float64)
    rows, columns = polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, shape)
    mask[rows, columns] = True
    return mask


def _without_holes(region: NDArray[np.bool_], top: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Split a 4-connected region along rows through its holes; yield first rows and pieces."""
    from scipy import ndimage

    waiting = [(top, region)]
    while waiting:
        top, piece = waiting.pop()
        # The region is 4-connected, so its background is 8-connected.
        ground, count = ndimage.label(~np.pad(piece, 1), structure=np.ones((3, 3)))
        if count <= 1:
            yield top, piece
            continue
        # One row through the middle of every hole becomes a separate piece.
        cuts = {
            (rows.start + rows.stop - 1) // 2 - 1 for rows, _ in ndimage.find_objects(ground)[1:]
        }
        borders = sorted({0, piece.shape[0]} | cuts | {cut + 1 for cut in cuts})
        for first, last in pairwise(borders):
            regions, count = ndimage.label(piece[first:last])
            waiting += [(top + first, regions == n) for n in range(1, count + 1)]


def _outline(region: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Trace the outline of a 4-connected region without holes; returns ``(N, 2)`` (x, y)."""
    padded = np.pad(region, 1)
    row, column = (int(i) for i in np.argwhere(region)[0])
    start = (row, column, 0)  # upper left corner of the first pixel, heading right
    corners = []
    heading = 0
    y, x = row, column
    while True:
        y, x = y + _STEPS[heading][0], x + _STEPS[heading][1]
        ahead_left, ahead_right = _ahead(padded, y, x, heading)
        # The region is on the right; where two pixels meet at a corner only, turn right.
        if not ahead_right:
            turned = (heading + 1) % 4
        elif ahead_left:
            turned = (heading - 1) % 4
        else:
            turned = heading
        if turned != heading:
            corners.append((x, y))
        heading = turned
        if (y, x, heading) == start:
            return np.array(corners, np.int64)


def _ahead(padded: NDArray[np.bool_], y: int, x: int, heading: int) -> tuple[bool, bool]:
    """Whether the pixels ahead to the left and to the right are in the region."""
    # Pixels round corner (y, x): above left (y, x), above right (y, x+1), ... when padded by one.
    up_left, up_right = bool(padded[y, x]), bool(padded[y, x + 1])
    down_left, down_right = bool(padded[y + 1, x]), bool(padded[y + 1, x + 1])
    return {
        0: (up_right, down_right),
        1: (down_right, down_left),
        2: (down_left, up_left),
        3: (up_left, up_right),
    }[heading]
