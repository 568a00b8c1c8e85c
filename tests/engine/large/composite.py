"""A large picture made of superpixels of sample photographs, with exact masks.

Superpixels (a cat's face, a cup of coffee, a motorcycle) are cut out as ellipses, made smaller, and
laid on a smooth, noisy ground: a picture in which everything is small, and where it is is known.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage import data

NAMES = ("cat", "cup of coffee", "motorcycle")

_SUPERPIXELS = {  # sample: (row, column, half height, half width) of the ellipse
    "cat": (data.chelsea, (120, 235, 105, 125)),
    "cup of coffee": (data.coffee, (185, 305, 150, 175)),
    "motorcycle": (lambda: data.stereo_motorcycle()[0], (285, 370, 190, 270)),
}


def composite(side: int, cell: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(side, side, 3)`` and ``(side, side)`` uint8: image, and 0 or 1 + place in NAMES.

    One superpixel, about two thirds of ``cell`` long, lies somewhere in every other cell.
    """
    random = np.random.default_rng(seed)
    coarse = random.integers(90, 150, (max(2, side // 200), max(2, side // 200), 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    image = np.clip(ground + random.normal(0, 6, (side, side, 1)), 0, 255).astype(np.uint8)
    mask = np.zeros((side, side), np.uint8)
    cut = {name: _cut(name) for name in NAMES}
    number = 0
    for top in range(0, side - cell + 1, cell):
        for left in range(0, side - cell + 1, cell):
            if (top // cell + left // cell) % 2:
                continue
            place = number % len(NAMES)
            number += 1
            superpixel, inside = cut[NAMES[place]]
            scale = cell * random.uniform(0.55, 0.8) / max(inside.shape)
            size = (round(inside.shape[1] * scale), round(inside.shape[0] * scale))
            small = np.asarray(Image.fromarray(superpixel).resize(size, Image.Resampling.BILINEAR))
            shape = np.asarray(Image.fromarray(inside).resize(size, Image.Resampling.NEAREST))
            y = top + int(random.integers(0, cell - size[1]))
            x = left + int(random.integers(0, cell - size[0]))
            window = (slice(y, y + size[1]), slice(x, x + size[0]))
            image[window][shape] = small[shape]
            mask[window][shape] = place + 1
    return image, mask


def _cut(name: str) -> tuple[np.ndarray, np.ndarray]:
    load, (row, column, height, width) = _SUPERPIXELS[name]
    photo = np.asarray(load())
    top, left = max(0, row - height), max(0, column - width)
    superpixel = photo[top : row + height, left : column + width]
    y, x = np.mgrid[: superpixel.shape[0], : superpixel.shape[1]]
    inside = ((y - row + top) / height) ** 2 + ((x - column + left) / width) ** 2 < 1
    return np.ascontiguousarray(superpixel), inside


def mean_iou(labels: np.ndarray, mask: np.ndarray) -> float:
    """Mean over background and classes."""
    scores = []
    for k in range(len(NAMES) + 1):
        found, there = labels == k, mask == k
        scores.append((found & there).sum() / max(1, (found | there).sum()))
    return float(np.mean(scores))


def boundary_f(labels: np.ndarray, mask: np.ndarray, tolerance: int = 3) -> float:
    """F measure of boundary pixels within a distance of each other."""
    from scipy import ndimage

    edges = [ndimage.maximum_filter(m, 3) != ndimage.minimum_filter(m, 3) for m in (labels, mask)]
    far = [ndimage.distance_transform_edt(~e) for e in edges]
    precision = float((far[1][edges[0]] <= tolerance).mean()) if edges[0].any() else 0.0
    recall = float((far[0][edges[1]] <= tolerance).mean())
    return 2 * precision * recall / max(1e-9, precision + recall)
