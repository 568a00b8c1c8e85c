"""Which images of a set look alike, so that those reviewed first show all kinds of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.batch.journal import Record

KINDS = 6
"""Images of so many different looks are proposed first."""

_SIDE = 256
_ROUNDS = 20


def look_of_image(rgb: NDArray[np.uint8]) -> tuple[float, ...]:
    """Describe the colours and the texture of an image.

    Parameters
    ----------
    rgb : ndarray
        ``(H, W, 3)`` uint8.

    Returns
    -------
    tuple of float
        Mean and spread of each channel of CIE Lab, then the spread of the lightness between
        scales of 1, 2, 4, 8 and 16 pixels, of the image with about 256 pixels on its longer side.
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
    """Return the order of review: images of different looks first, then the most uncertain.

    Parameters
    ----------
    records : sequence of Record
        The most uncertain first.
    reviewed : set of str
        Names of images that were reviewed; a look that one of them has is not proposed again.

    Notes
    -----
    The looks are divided into `KINDS` kinds by k-means, begun with the most uncertain image and
    those farthest from all before. Of each kind the most uncertain image comes first, kinds of
    many images before those of few.
    """
    known = [record for record in records if record.look]
    if len(known) <= KINDS or len(reviewed) >= KINDS:
        return tuple(records)
    looks = np.array([record.look for record in known])
    kinds = _kinds((looks - looks.mean(0)) / np.maximum(looks.std(0), 1e-6))
    seen = {kind for record, kind in zip(known, kinds, strict=True) if record.name in reviewed}
    first: dict[int, Record] = {}
    for record, kind in zip(known, kinds, strict=True):
        if kind not in seen:
            first.setdefault(kind, record)
    sizes = np.bincount(kinds)
    chosen = [first[kind] for kind in sorted(first, key=lambda kind: (-sizes[kind], kind))]
    names = {record.name for record in chosen}
    return (*chosen, *(record for record in records if record.name not in names))


def _kinds(looks: NDArray[np.float64]) -> list[int]:
    """Divide rows into at most `KINDS` groups."""
    centres = looks[:1]
    for _ in range(KINDS - 1):
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
