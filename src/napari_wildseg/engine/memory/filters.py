"""Multi-scale filters of an image: what each pixel and its surroundings look like.

The kind of features that pixel classifiers of microscopy use (Berg et al., *ilastik: interactive
machine learning for (bio)image analysis*, Nature Methods 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIGMAS = (0.7, 1.5, 3.0, 6.0, 12.0)
"""Scales, in pixels of the refiner's working resolution."""

FILTERS = 14 * len(SIGMAS)
"""Values a pixel."""


def pixel_statistics(lab: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the mean colour ``(3, 1, 1)`` of an image's pixels, and their variance about it."""
    mean = lab.mean((1, 2), keepdims=True)
    return mean, float(np.square(lab - mean).sum(0).mean())


def filter_bank(
    lab: NDArray[np.float32], statistics: tuple[NDArray[np.float32], float] | None = None
) -> NDArray[np.float32]:
    """Filter an image at all scales.

    `lab`: ``(3, h, w)`` float32 CIE Lab divided by 100; `statistics`: `pixel_statistics` of the
    whole image, if this is a part of one; returns ``(FILTERS, h, w)`` float32.
    """
    mean, variance = pixel_statistics(lab) if statistics is None else statistics
    spread = np.float32(np.sqrt(np.float32(variance))) + np.float32(0.01)
    relative = (lab - mean) / spread
    squares = np.square(relative)
    found: list[NDArray[np.float32]] = []
    for sigma in SIGMAS:
        smooth = _smooth(relative, sigma)
        deviation = np.sqrt(np.clip(_smooth(squares, sigma) - np.square(smooth), 0, None))
        down, right = np.asarray(np.gradient(smooth, axis=(1, 2)))
        gradient = np.asarray(np.hypot(down, right) * sigma)
        found += [smooth, smooth * spread + mean, gradient, _curvature(down[0], right[0], sigma)]
        found.append(deviation)
    return np.concatenate(found).astype(np.float32)


def _smooth(maps: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(
        ndimage.gaussian_filter(maps, (0, sigma, sigma), mode="nearest", truncate=3.0)
    )


def _curvature(
    down: NDArray[np.float32], right: NDArray[np.float32], sigma: float
) -> NDArray[np.float32]:
    """Return the larger and smaller eigenvalue of the Hessian: ``(2, h, w)``."""
    across, along = np.gradient(down, axis=1), np.gradient(right, axis=1)
    half = np.gradient(down, axis=0)
    middle = (half + along) / 2
    apart = np.hypot((half - along) / 2, across)
    return np.stack([middle + apart, middle - apart]) * np.float32(sigma**2)
