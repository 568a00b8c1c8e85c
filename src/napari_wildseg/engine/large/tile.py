"""Refinement of one tile: label boundaries on image edges, at full resolution.

The random walk of `engine.refine.walk` is solved by a fixed number of Chebyshev iterations with a
Jacobi preconditioner (Saad, *Iterative Methods for Sparse Linear Systems*, 2003, algorithm 12.1),
for the white squares of a checkerboard; the black squares follow from them. Conjugate gradients
compute their step lengths from sums over the whole image, so every pixel affects all others. Here
the step lengths are fixed, and a value depends only on cells at most `REACH` away. A tile with a
margin of that width therefore gives the result of the whole image, up to rounding.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_wildseg.engine.corrections import keep_corrections
from napari_wildseg.engine.images.pixels import lab_of
from napari_wildseg.engine.large.layout import Box
from napari_wildseg.engine.large.source import LargeImage, shrink
from napari_wildseg.engine.large.tile_corrections import LargeCorrections
from napari_wildseg.engine.refine.learning.observe import observe
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.upsample import to_full_resolution
from napari_wildseg.engine.refine.walk import ReducedSystem, edge_weights, margin_of, mean_contrast

_STEPS = 22
"""Number of iterations. Each propagates values from white squares to black and back, two cells."""

REACH = 2 * _STEPS + 2
"""Largest distance, in cells, at which a cell affects another. Even, so that margins of this width
keep the colours of the checkerboard."""

_LOWEST, _HIGHEST = 0.02, 1.0
"""Range of damped eigenvalues; smoother components stay as in the prior."""


def local_walk(
    prior: Tensor, trust: Tensor, edges: tuple[Tensor, Tensor], *, fixed: Tensor | None = None
) -> Tensor:
    """Solve the random walk with priors.

    `prior`: ``(K, H, W)`` float32, which is kept where ``fixed``; `trust`: ``(H, W)`` float32, at
    least 0; `fixed`: ``(H, W)`` bool. Returns ``(K, H, W)`` float32.
    """
    system = ReducedSystem(prior, prior, trust, edges, fixed)
    centre, radius = (_HIGHEST + _LOWEST) / 2, (_HIGHEST - _LOWEST) / 2
    sigma = centre / radius
    rho = 1 / sigma
    residual = system.residual
    change = torch.zeros_like(residual)
    direction, applied = residual / centre, torch.empty_like(residual)
    for _ in range(_STEPS - 1):
        change += direction
        residual -= system.apply(direction, applied)
        after_rho = 1 / (2 * sigma - rho)
        direction.mul_(after_rho * rho).add_(residual, alpha=2 * after_rho / radius)
        rho = after_rho
    return system.finish(change.add_(direction))


def undecided(leading: Tensor, corrected: Tensor | None = None) -> Tensor:
    """Return the cells whose label the walk may change: a border or a correction is in reach.

    `leading`: ``(H, W)`` integers, the most probable label of each cell; `corrected`: ``(H, W)``
    bool. Returns ``(H, W)`` bool.
    """
    labels = leading.numpy().astype(np.uint8)
    mixed = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    if corrected is not None:
        mixed |= corrected.numpy()
    # Separable square window.
    near: NDArray[np.uint8] = mixed.astype(np.uint8)
    for axis in (0, 1):
        near = ndimage.maximum_filter1d(near, 2 * REACH + 1, axis=axis, mode="constant")
    return torch.from_numpy(near > 0)


WALK_STEP = 2
"""Side of the cells of the random walk, in pixels; colours then give full resolution."""

HALO = (REACH + 2) * WALK_STEP
"""Width of the margin around a tile, in pixels: the reach of the walk, one cell for the upsampling
and one for the detection of borders."""

_PATCHES, _PATCH = 8, 128


def walk_domain(tile: Box, shape: tuple[int, int]) -> Box:
    """Return the box on which a tile's labels depend. `shape`: ``(H, W)`` of the image."""
    grown = tile.grown(HALO, shape)
    # The checkerboard colours must not depend on the tile.
    pair = 2 * WALK_STEP
    return replace(grown, top=grown.top // pair * pair, left=grown.left // pair * pair)


def sample_contrast(image: LargeImage) -> float:
    """Estimate the mean contrast between neighbouring cells from patches across the image."""
    found = []
    height, width = image.shape
    for top in np.linspace(0, max(0, height - _PATCH), _PATCHES).astype(int).tolist():
        for left in np.linspace(0, max(0, width - _PATCH), _PATCHES).astype(int).tolist():
            box = Box(top, left, min(height, top + _PATCH), min(width, left + _PATCH))
            found.append(mean_contrast(_colours(image.read(box))))
    return float(np.mean(found))


def refine_tile(
    image: LargeImage,
    tile: Box,
    priors: Callable[[Box, int], Tensor],
    corrections: LargeCorrections | None,
    contrast: float,
    options: DefaultOptions,
) -> NDArray[np.uint8]:
    """Refine the labels of one tile."""
    domain = walk_domain(tile, image.shape)
    fixed = None if corrections is None else corrections.read(domain)
    prior = priors(_whole_cells(domain), WALK_STEP)
    leading = prior.argmax(0)
    corrected = None
    if fixed is not None:
        corrected = observe(_pad_to_cells(fixed), _grid(domain), len(prior) - 1).mask
    is_open = undecided(leading, corrected)
    own = _cells_of(tile, domain)
    rows, columns = (torch.nonzero(is_open[own].any(axis))[:, 0].tolist() for axis in (1, 0))
    if not rows:
        # One label leads within the reach of the walk, which cannot change it.
        return np.full(tile.shape, int(leading[own][0, 0]), np.uint8)
    needed = Box(
        tile.top + rows[0] * WALK_STEP,
        tile.left + columns[0] * WALK_STEP,
        min(tile.bottom, tile.top + (rows[-1] + 1) * WALK_STEP),
        min(tile.right, tile.left + (columns[-1] + 1) * WALK_STEP),
    )
    solved = walk_domain(needed, image.shape).common(domain)
    cells = _cells_of(solved, domain)
    fixed_there = None if fixed is None else fixed[solved.within(domain)]
    labels = _solve(
        image.read(solved), prior[:, *cells], is_open[cells], fixed_there, contrast, options
    )
    out = leading[own].numpy().astype(np.uint8)
    out = out.repeat(WALK_STEP, 0).repeat(WALK_STEP, 1)[: tile.shape[0], : tile.shape[1]]
    out[needed.within(tile)] = labels[needed.within(solved)]
    return keep_corrections(out, None if fixed is None else fixed[tile.within(domain)])


def _solve(
    pixels: NDArray[np.uint8],
    prior: Tensor,
    is_open: Tensor,
    fixed: NDArray[np.int16] | None,
    contrast: float,
    options: DefaultOptions,
) -> NDArray[np.uint8]:
    """Solve the walk and upsample the result, on a box that starts on a whole cell."""
    shape = pixels.shape[:2]
    padded = _pad_to_cells(pixels)
    edges = edge_weights(_colours(padded), options.beta, contrast=contrast)
    trust = options.trust * (0.05 + margin_of(prior).square())
    mask, start = None, prior
    if fixed is not None:
        seen = observe(_pad_to_cells(fixed), (prior.shape[1], prior.shape[2]), len(prior) - 1)
        mask = seen.mask
        start = torch.where(mask, seen.targets, prior)
    # A label below 1/K everywhere stays below it, since the walk averages; skip it.
    kept = torch.nonzero(start.amax((1, 2)) > 0.99 / len(start))[:, 0]
    walked = local_walk(start[kept], trust, edges, fixed=mask)
    labels = to_full_resolution(torch.where(is_open, walked, prior[kept]), padded)
    return kept.numpy().astype(np.uint8)[labels][: shape[0], : shape[1]]


def _colours(pixels: NDArray[np.uint8]) -> Tensor:
    """Return the mean colours of the cells, CIE Lab / 100: ``(3, rows, columns)``."""
    shape = (max(1, pixels.shape[0] // WALK_STEP), max(1, pixels.shape[1] // WALK_STEP))
    return lab_of(shrink(pixels, shape)) / 100


def _grid(box: Box) -> tuple[int, int]:
    """Return the number of cells of a box, including those cut by the image's border."""
    return -(-box.shape[0] // WALK_STEP), -(-box.shape[1] // WALK_STEP)


def _whole_cells(box: Box) -> Box:
    """Return the box extended to the right and bottom to whole cells."""
    height, width = (n * WALK_STEP for n in _grid(box))
    return Box(box.top, box.left, box.top + height, box.left + width)


def _cells_of(box: Box, outer: Box) -> tuple[slice, slice]:
    """Return the index of the cells of ``box`` in the cells of ``outer``."""
    rows, columns = _whole_cells(box).within(outer)
    return (
        slice(rows.start // WALK_STEP, rows.stop // WALK_STEP),
        slice(columns.start // WALK_STEP, columns.stop // WALK_STEP),
    )


def _pad_to_cells(values: NDArray[Any]) -> NDArray[Any]:
    """Pad to whole cells: images by the edge pixels, corrections by -1."""
    frame = [(0, -values.shape[axis] % WALK_STEP) for axis in (0, 1)]
    if values.ndim == 2:
        return np.pad(values, frame, constant_values=values.dtype.type(-1))
    return np.pad(values, (*frame, (0, 0)), mode="edge")
