"""Test-time augmentation: views of an image, and the merge of their maps.

The paper (Zabari & Hoshen, arXiv 2112.03185) refines relevance maps by test-time augmentation
without naming the transforms. The presets here were chosen by measurement (docs/method.md).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.checks import require
from napari_wildseg.engine.errors import InputError

_MAX_ASPECT = 2.0
"""Longer images are split into overlapping windows of about this aspect ratio."""

_MAX_WINDOWS = 16
"""Maximum number of windows; longer images get longer windows instead."""


@dataclass(frozen=True)
class View:
    """One rendering of an image for the network.

    Attributes
    ----------
    top, left, bottom, right : float
        Edges of the box, in whole image pixels; the whole image is ``0, 0, H, W``.
    height, width : int
        Size of the network's input, in pixels.
    flip : bool
        Whether the view is mirrored left to right.
    gamma : float
        Exponent applied to the intensities; 1 leaves them unchanged.
    """

    top: float
    left: float
    bottom: float
    right: float
    height: int
    width: int
    flip: bool = False
    gamma: float = 1.0

    @property
    def resolution(self) -> float:
        """Pixels of the network's input an image pixel, along a side."""
        box = (self.bottom - self.top) * (self.right - self.left)
        return math.sqrt(self.height * self.width / box)


@dataclass(frozen=True)
class Preset:
    """A named set of views.

    Attributes
    ----------
    scales : tuple of float
        Sizes of the whole image, as multiples of the model's base side.
    flips : bool
        Whether each view is also mirrored.
    crop_grid : int
        Number of overlapping crops along each side, at scale 1 per crop; 0 for none.
    gammas : tuple of float
        Gamma variants of the view at scale 1.
    """

    scales: tuple[float, ...]
    flips: bool = True
    crop_grid: int = 0
    gammas: tuple[float, ...] = ()


PRESETS = {
    "single": Preset(scales=(1.0,), flips=False),
    "fast": Preset(scales=(1.0,)),
    "default": Preset(scales=(0.6, 1.0, 1.4)),
    "best": Preset(scales=(0.5, 0.75, 1.0, 1.375, 1.75), crop_grid=2, gammas=(0.7, 1.4)),
}


def make_views(
    shape: tuple[int, int], preset: str = "default", *, base_side: int = 448, multiple: int = 16
) -> tuple[View, ...]:
    """List the views of an image for a preset.

    Parameters
    ----------
    shape : tuple of int
        ``(H, W)`` of the image.
    preset : str
        ``"single"``, ``"fast"``, ``"default"`` or ``"best"``.
    base_side : int
        Geometric mean of the input's sides at scale 1, in pixels of the network's input.
    multiple : int
        Input sides are multiples of this (the patch size or stride).

    Returns
    -------
    tuple of View
        The first is the plain view of the whole image at scale 1, or of its first window if the
        image is split into windows.

    Raises
    ------
    InputError
        If there is no such preset.
    """
    require(preset, str, "view preset", "its name")
    if preset not in PRESETS:
        raise InputError(f'There is no view preset "{preset}"; choose one of {", ".join(PRESETS)}.')
    chosen = PRESETS[preset]
    views: list[View] = []
    for scale in sorted(chosen.scales, key=lambda s: abs(s - 1)):
        gammas = (1.0, *chosen.gammas) if scale == 1 else (1.0,)
        for gamma in gammas:
            for box in _windows(shape):
                views += _flipped(box, scale * base_side, multiple, chosen.flips, gamma)
    if chosen.crop_grid:
        # Each crop has the input size of the whole image at scale 1.
        for box in _crops(shape, chosen.crop_grid):
            views += _flipped(box, base_side, multiple, chosen.flips, 1.0)
    return tuple(dict.fromkeys(views))  # crops of a tiny image may coincide


def _flipped(
    box: tuple[float, float, float, float], side: float, multiple: int, flips: bool, gamma: float
) -> list[View]:
    top, left, bottom, right = box
    scale = side / math.sqrt((bottom - top) * (right - left))
    height = max(2, round((bottom - top) * scale / multiple)) * multiple
    width = max(2, round((right - left) * scale / multiple)) * multiple
    return [
        View(*box, height, width, flip, gamma) for flip in ((False, True) if flips else (False,))
    ]


def _windows(shape: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """Return the whole image, or half-overlapping windows along its long side."""
    height, width = shape
    long, short = max(shape), min(shape)
    if long <= _MAX_ASPECT * short:
        return [(0.0, 0.0, float(height), float(width))]
    size = math.ceil(max(_MAX_ASPECT * short, long * 2 / (_MAX_WINDOWS + 1)))
    count = math.ceil((long - size) / (size / 2)) + 1
    starts = np.floor(np.linspace(0, long - size, count)).tolist()
    if width >= height:
        return [(0.0, s, float(height), s + size) for s in starts]
    return [(s, 0.0, s + size, float(width)) for s in starts]


def _crops(shape: tuple[int, int], grid: int) -> list[tuple[float, float, float, float]]:
    """Return ``grid x grid`` crops that overlap by about a third of their side."""
    height, width = (math.ceil(side / (grid - (grid - 1) / 3)) for side in shape)
    tops = np.floor(np.linspace(0, shape[0] - height, grid)).tolist()
    lefts = np.floor(np.linspace(0, shape[1] - width, grid)).tolist()
    return [(t, x, t + height, x + width) for t in tops for x in lefts]


def render(image: NDArray[np.uint8], view: View) -> Tensor:
    """Render a view of an image as network input.

    Parameters
    ----------
    image : ndarray
        ``(H, W, 3)`` uint8.
    view : View
        The view to render.

    Returns
    -------
    torch.Tensor
        ``(3, height, width)`` float32 in [0, 1].
    """
    crop = image[int(view.top) : int(view.bottom), int(view.left) : int(view.right)]
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 255
    pixels = F.interpolate(
        pixels, (view.height, view.width), mode="bilinear", antialias=True, align_corners=False
    ).clamp_(0, 1)
    if view.gamma != 1:
        pixels = pixels**view.gamma
    return (pixels.flip(-1) if view.flip else pixels)[0]


def merge_views(
    maps: Iterable[Tensor],
    views: Sequence[View],
    shape: tuple[int, int],
    grid: tuple[int, int],
    *,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Average the maps of several views in image coordinates.

    Each cell of the grid samples each map bilinearly at its own centre, so crops, flips and
    scales are undone exactly. The weight of a crop or window falls linearly to 0 at those of its
    borders that lie inside the image, so that neighbouring crops join without a seam.

    Parameters
    ----------
    maps : iterable of torch.Tensor
        One ``(K, h', w')`` float32 map per view; its cells tile the view.
    views : sequence of View
        The views, in the same order.
    shape : tuple of int
        ``(H, W)`` of the image.
    grid : tuple of int
        ``(gh, gw)``, cells of the merged map; they tile the image.
    offset : tuple of float
        Offset (y, x) of the network's cell centres, right of and below the centres of the
        tiling, in cells. TensorFlow's "same" padding, for example, shifts them by nearly half a
        cell.

    Returns
    -------
    torch.Tensor
        ``(K, gh, gw)`` float32, stored with channels last.
    """
    weight = torch.zeros(grid)
    total: Tensor | None = None
    box = (0, 0, 0, 0)
    pending: list[tuple[Tensor, Tensor, Tensor]] = []
    for values, view in zip(maps, views, strict=True):
        y = (torch.arange(grid[0]) + 0.5) * (shape[0] / grid[0])
        x = (torch.arange(grid[1]) + 0.5) * (shape[1] / grid[1])
        v = (y - view.top) / (view.bottom - view.top)
        u = (x - view.left) / (view.right - view.left)
        fade_y = _fade_weights(v, view.top > 0, view.bottom < shape[0])
        fade_x = _fade_weights(u, view.left > 0, view.right < shape[1])
        rows, cols = torch.nonzero(fade_y)[:, 0], torch.nonzero(fade_x)[:, 0]
        if not len(rows) or not len(cols):
            continue
        count, height, width = values.shape
        if total is None:
            total = torch.zeros(*grid, count)
        visible = (int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
        if pending and visible != box:
            _add_sampled(total, box, pending)
            pending = []
        box = visible
        in_y, in_x = slice(*box[:2]), slice(*box[2:])
        fade_y, fade_x = fade_y[in_y], fade_x[in_x]
        weight[in_y, in_x] += fade_y[:, None] * fade_x
        u = 1 - u if view.flip else u
        read_y = _interpolation_weights(v[in_y], height, offset[0]) * fade_y[:, None]
        read_x = _interpolation_weights(u[in_x], width, offset[1]) * fade_x[:, None]
        pending.append((values, read_y, read_x))
    if total is None:
        raise ValueError("merge needs at least one map")
    _add_sampled(total, box, pending)
    return total.div_(weight.clamp_(min=1e-6)[:, :, None]).permute(2, 0, 1)


def _add_sampled(
    total: Tensor, box: tuple[int, int, int, int], maps: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> None:
    """Sample the maps of views of one box and add them to `total`, ``(gh, gw, K)``.

    Bilinear sampling is computed as two matrix products, which is much faster than per point.
    Channels stay last, and the second product covers all views at once.
    """
    top, bottom, left, right = box
    columns, channels = right - left, total.shape[2]
    by_column = torch.empty(sum(values.shape[1] for values, _, _ in maps), columns, channels)
    start = 0
    for values, _, read_x in maps:
        rows = values.float().cpu().permute(1, 2, 0)
        part = by_column[start : start + len(rows)]
        torch.bmm(read_x.expand(len(rows), -1, -1), rows, out=part)
        start += len(rows)
    read = torch.cat([read_y for _, read_y, _ in maps], dim=1) @ by_column.flatten(1)
    total[top:bottom, left:right] += read.view(bottom - top, columns, channels)


def _interpolation_weights(position: Tensor, cells: int, offset: float) -> Tensor:
    """Return the weights ``(n, cells)`` of linear interpolation in a row of cells.

    `position`: in [0, 1]. Beyond the centre of the first or last cell, that cell has weight 1.
    """
    at = (position * cells - 0.5 - offset).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)


def _fade_weights(
    position: Tensor, fade_start: bool, fade_end: bool, width: float = 0.25
) -> Tensor:
    """Return weights along one axis: 0 outside [0, 1], linear ramps at the fading ends."""
    weight = ((position >= 0) & (position <= 1)).float()
    if fade_start:
        weight = weight * (position / width).clamp(0, 1)
    if fade_end:
        weight = weight * ((1 - position) / width).clamp(0, 1)
    return weight
