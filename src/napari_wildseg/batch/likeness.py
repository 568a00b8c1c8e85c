"""Grouping of images by appearance, so that the first images of a review show all groups."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import Record

REVIEW_GROUPS = 6
"""Number of groups; one image of each group is reviewed first."""

_SIDE = 256
_ROUNDS = 20


def image_descriptor(rgb: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return a descriptor of the colours and the texture of an image.

    Parameters
    ----------
    rgb : ndarray
        ``(H, W, 3)`` uint8.

    Returns
    -------
    tuple of float
        Mean and standard deviation of each CIE Lab channel, then the standard deviation of the
        lightness in four bands between blurs of 0, 1, 2, 4 and 8 pixels. Computed on the image
        subsampled to about 256 pixels on its longer side.
    """
    from scipy import ndimage
    from skimage.color import rgb2lab

    step = max(1, max(rgb.shape[:2]) // _SIDE)
    lab = rgb2lab(rgb[::step, ::step])
    blurred = [lab[..., 0], *(ndimage.gaussian_filter(lab[..., 0], s) for s in (1, 2, 4, 8))]
    bands = [float((a - b).std()) for a, b in pairwise(blurred)]
    found = [*lab.mean((0, 1)), *lab.std((0, 1)), *bands]
    return tuple(round(float(value), 2) for value in found)


def review_order(records: Sequence[Record], reviewed: set[str]) -> tuple[Record, ...]:
    """Return the order of review: one image of each group first, then the most uncertain.

    Parameters
    ----------
    records : sequence of Record
        In order of decreasing uncertainty.
    reviewed : set of str
        Names of reviewed images; their groups are not proposed again.

    Notes
    -----
    Descriptors are clustered by k-means into `REVIEW_GROUPS` groups. The initial centres are the
    most uncertain image and then, repeatedly, the image farthest from all centres. The most
    uncertain image of each group comes first, larger groups before smaller ones.
    """
    known = [record for record in records if record.look]
    if len(known) <= REVIEW_GROUPS or len(reviewed) >= REVIEW_GROUPS:
        return tuple(records)
    looks = np.array([record.look for record in known])
    kinds = _cluster((looks - looks.mean(0)) / np.maximum(looks.std(0), 1e-6))
    seen = {kind for record, kind in zip(known, kinds, strict=True) if record.name in reviewed}
    first: dict[int, Record] = {}
    for record, kind in zip(known, kinds, strict=True):
        if kind not in seen:
            first.setdefault(kind, record)
    sizes = np.bincount(kinds)
    chosen = [first[kind] for kind in sorted(first, key=lambda kind: (-sizes[kind], kind))]
    names = {record.name for record in chosen}
    return (*chosen, *(record for record in records if record.name not in names))


def _cluster(looks: NDArray[np.float64]) -> list[int]:
    """Cluster descriptors, ``(N, D)``, by k-means; return the group of each."""
    centres = looks[:1]
    for _ in range(REVIEW_GROUPS - 1):
        far = np.linalg.norm(looks[:, None] - centres, axis=2).min(1)
        centres = np.concatenate([centres, looks[far.argmax()][None]])
    nearest = np.zeros(len(looks), int)
    for _ in range(_ROUNDS):
        nearest = np.linalg.norm(looks[:, None] - centres, axis=2).argmin(1)
        centres = np.array(
            [
                looks[nearest == k].mean(0) if (nearest == k).any() else c
                for k, c in enumerate(centres)
            ]
        )
    return [int(kind) for kind in nearest]
