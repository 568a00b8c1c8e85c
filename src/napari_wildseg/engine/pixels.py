"""Pixels and maps as tensors to compute with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""CIE XYZ of linear sRGB."""

_WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of white under D65."""


def lab_of(rgb: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
    """Return the CIE Lab colours of an image.

    The formula of `skimage.color.rgb2lab`, in two thirds of its time.

    Parameters
    ----------
    rgb : ndarray
        ``(h, w, 3)``, 0 to 255.

    Returns
    -------
    torch.Tensor
        ``(3, h, w)`` float32.
    """
    values = torch.tensor(rgb).permute(2, 0, 1).float() / 255
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    to_xyz = torch.tensor(_XYZ) / torch.tensor(_WHITE)[:, None]
    xyz = (to_xyz @ linear.flatten(1)).view(linear.shape)
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def resize(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Read ``(C, h, w)`` maps at the cells of another grid, bilinearly.

    Parameters
    ----------
    maps : torch.Tensor
        ``(C, h, w)`` float32.
    shape : tuple of int
        ``(height, width)`` of the result; where it is narrower, cells are averaged.
    """
    return F.interpolate(
        maps[None],
        shape,
        mode="bilinear",
        align_corners=False,
        antialias=maps.shape[-1] > shape[1],
    )[0]
