"""Conversion of pixels to Lab tensors, and resizing of maps."""

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import rgb2lab
from torch import Tensor
from torch.nn import functional as F


def lab_of(rgb: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
    """Convert an image to CIE Lab.

    `rgb`: ``(h, w, 3)``, 0 to 255; returns ``(3, h, w)`` float32.
    """
    lab = rgb2lab(rgb.astype(np.float32, copy=False) / 255)
    return torch.from_numpy(lab.astype(np.float32)).permute(2, 0, 1)


def resize(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize maps bilinearly; average cells where the result is narrower.

    `maps`: ``(C, h, w)`` float32; `shape`: ``(height, width)`` of the result.
    """
    return F.interpolate(
        maps[None], shape, mode="bilinear", align_corners=False, antialias=maps.shape[-1] > shape[1]
    )[0]
