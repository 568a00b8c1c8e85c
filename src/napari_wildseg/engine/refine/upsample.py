"""Labels at full resolution from probabilities at a lower one, guided by the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

_COLOUR_SIGMA = 12.0
"""Colour difference, in grey levels, that counts as another surface."""


def to_full_resolution(probabilities: Tensor, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label every pixel of the image.

    Where all low-resolution neighbours agree, their label is taken. In the band between labels,
    each pixel averages the probabilities of its 3 x 3 low-resolution neighbours, weighted by
    closeness in place and colour (joint bilateral upsampling, Kopf et al., SIGGRAPH 2007).

    `probabilities`: ``(K, h, w)`` float32; `image`: ``(H, W, 3)`` uint8, H >= h and W >= w; returns
    ``(H, W)`` uint8.
    """
    small = _first_largest(probabilities.numpy())
    height, width = image.shape[:2]
    h, w = small.shape
    if (h, w) == (height, width):
        return small
    rows = np.minimum((np.arange(height) * h) // height, h - 1)
    columns = np.minimum((np.arange(width) * w) // width, w - 1)
    labels: NDArray[np.uint8] = small[rows][:, columns]
    mixed = ndimage.maximum_filter(small, 3) != ndimage.minimum_filter(small, 3)
    band_y, band_x = np.nonzero(mixed[rows][:, columns])
    if not len(band_y):
        return labels
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    guide = F.interpolate(pixels, (h, w), mode="area")[0].flatten(1).T
    values = probabilities.flatten(1).T
    for start in range(0, len(band_y), 200_000):
        part = slice(start, start + 200_000)
        y, x = torch.from_numpy(band_y[part]), torch.from_numpy(band_x[part])
        at_y, at_x = (y + 0.5) * (h / height) - 0.5, (x + 0.5) * (w / width) - 0.5
        near_y, near_x = at_y.round().long(), at_x.round().long()
        colour = torch.from_numpy(image[band_y[part], band_x[part]]).float()
        total = torch.zeros(len(y), len(probabilities))
        for dy in (-1, 0, 1):
            cell_y = (near_y + dy).clamp(0, h - 1)
            for dx in (-1, 0, 1):
                cell_x = (near_x + dx).clamp(0, w - 1)
                cell = cell_y * w + cell_x
                far = (cell_y - at_y).square() + (cell_x - at_x).square()
                differs = (guide[cell] - colour).square().sum(1) / (2 * _COLOUR_SIGMA**2)
                total += torch.exp(-far - differs.clamp(max=30))[:, None] * values[cell]
        labels[band_y[part], band_x[part]] = _first_largest(total.T.numpy())
    return labels


def _first_largest(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the index of the largest of K values; class by class, since `argmax` is slow there.

    `values`: ``(K, ...)`` float32; returns ``(...)`` uint8.
    """
    largest = values[0].copy()
    found = np.zeros(largest.shape, np.uint8)
    for index in range(1, len(values)):
        found[values[index] > largest] = index
        np.maximum(largest, values[index], out=largest)
    return found
