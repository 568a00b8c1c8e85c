"""What each place of a large image probably is, before the edges are looked at.

The first three steps of the default refiner (`engine.refine.default`), window by window: relevance
is spread over the places that a window's features and colours find alike, corrections teach their
surroundings, and superpixels that look alike agree on a label. A window fades out towards its
borders, and its neighbour fades in, so the probabilities change without a seam from one to the
next. They are made where and when a tile asks for them; what is kept is one coarse map a window and
class, and what was found of the superpixels of the windows used last.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.images.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.images.pixels import resize
from napari_wildseg.engine.large.layout import OVERLAP, Box
from napari_wildseg.engine.large.source import shrink
from napari_wildseg.engine.large.tile_corrections import LargeCorrections, changed_blocks
from napari_wildseg.engine.large.windows import LargeEncoding
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.scene import Scene
from napari_wildseg.engine.refine.spreading import Spreading

_KEPT_BYTES = 128 * 2**20
"""What was found of the windows used last is kept up to so many bytes."""

_SCENES = 4
"""What is known of a window whatever the classes is kept for so many; each has some 25 MB."""

WORK_SIDE = 192
"""Side of a window in the pixels that superpixels are cut from: at the image's own resolution no
finer than the cells that tiles walk on."""

PIECES = 1500
"""Superpixels of a window. In the finest ones they are as large as those of an ordinary image."""

SPREAD_SIDE = 24
"""Cells along a side of a window among which relevance is spread; a tower of stride 16 sees no
more in a window, and every pair of them has an affinity."""

_BEST_PLACES = 128
"""The mean of so many best places counts as a full score: one odd place must not set the scale,
and a single small object must."""


@dataclass(frozen=True)
class _Change:
    """By how much the superpixels of a window differ from the places they lie on."""

    index: NDArray[np.uint16]  # (h, w), the superpixel of every pixel
    values: Tensor  # (n, K + 1)

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + self.values.nbytes

    def paint(self) -> Tensor:
        """``(K + 1, h, w)``."""
        return self.values.T[:, torch.from_numpy(self.index.astype(np.int64))]


class WindowPriors:
    """Probabilities of all places, for one list of classes.

    Parameters
    ----------
    encoding : LargeEncoding
        The image.
    relevance : torch.Tensor
        ``(K, gh, gw)`` float32 in [0, 1], cells tiling the image.
    options : DefaultOptions
        Settings of the refiner; windows have superpixels and pixels of their own number.
    """

    def __init__(self, encoding: LargeEncoding, relevance: Tensor, options: DefaultOptions) -> None:
        self.encoding = encoding
        self.relevance = relevance
        # All pieces that a dab speaks of say as much together, however few they are.
        reach_precision = options.learning.reach_precision * options.pieces / PIECES
        self.options = replace(
            options,
            work_pixels=WORK_SIDE**2,
            pieces=PIECES,
            learning=replace(options.learning, reach_precision=reach_precision),
        )
        self.boxes = encoding.levels[-1].boxes
        shape = self.boxes[0].shape
        self.coarse = grid_of(shape, SPREAD_SIDE)
        self.grid = grid_of(shape, GRID_SIDE)
        self._settled = torch.zeros(len(self.boxes), len(relevance), *self.coarse)
        self._range = (torch.zeros(len(relevance), 1, 1), torch.ones(len(relevance), 1, 1))
        self._changes: OrderedDict[int, _Change | None] = OrderedDict()
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._made_with: tuple[float | None, LargeCorrections | None] = (None, None)

    def settle_steps(self) -> Steps[None]:
        """Spread relevance in every window; to be run once before anything is asked."""
        for index in range(len(self.boxes)):
            yield Progress(index, len(self.boxes), "Spreading over similar places")
            start = self.relevance_of(self.boxes[index], self.coarse)
            # A class that is nowhere in the window has nothing to spread.
            if float(start.amax()) > 0:
                self._settled[index] = self._spreading(index)(start)
        flat = self._settled.transpose(0, 1).flatten(1)
        high = flat.topk(min(_BEST_PLACES, flat.shape[1]), dim=1).values.mean(1)
        low = flat.amin(1)
        self._range = (low[:, None, None], high[:, None, None])

    def prepare_steps(
        self, box: Box, threshold: float, corrections: LargeCorrections | None
    ) -> Steps[None]:
        """Look into the windows of a box one by one, so that `blend` need not.

        Parameters
        ----------
        box, threshold, corrections
            As for `blend`.
        """
        todo = [index for index, window in enumerate(self.boxes) if window.meets(box)]
        for number, index in enumerate(todo):
            yield Progress(number, len(todo), "Letting like places agree")
            self._kept_change(index, threshold, corrections)

    def probabilities(
        self, index: int, threshold: float, corrections: LargeCorrections | None
    ) -> Tensor:
        """Return what the places of one window are.

        Parameters
        ----------
        index : int
            Which window.
        threshold : float
            In [0, 1].
        corrections : LargeCorrections or None
            All of them; those in the window are used.

        Returns
        -------
        torch.Tensor
            ``(K + 1, h, w)`` float32, background first, cells tiling the window; fewer of them
            where one label leads everywhere.
        """
        change = self._kept_change(index, threshold, corrections)
        prior = self._prior(index, threshold)
        if change is None:
            return prior
        painted = change.paint()
        fine = (resize(prior, (painted.shape[1], painted.shape[2])) + painted).clamp_(1e-4)
        return fine.div_(fine.sum(0))

    def blend(
        self, box: Box, step: int, threshold: float, corrections: LargeCorrections | None
    ) -> Tensor:
        """Return the probabilities of the cells of a box.

        Parameters
        ----------
        box : Box
            In image pixels; its sides are multiples of ``step``, and it may end beyond the image.
        step : int
            Side of a cell, in pixels.
        threshold, corrections
            As for `probabilities`.

        Returns
        -------
        torch.Tensor
            ``(K + 1, rows, columns)`` float32, summing to 1.
        """
        shape = self.encoding.shape
        y = box.top + (torch.arange(box.shape[0] // step) + 0.5) * step
        x = box.left + (torch.arange(box.shape[1] // step) + 0.5) * step
        y, x = y.clamp(max=shape[0] - 0.5), x.clamp(max=shape[1] - 0.5)
        total = torch.zeros(len(self.relevance) + 1, len(y), len(x))
        weight = torch.zeros(len(y), len(x))
        for index, window in enumerate(self.boxes):
            if not window.meets(box):
                continue
            v, rows = _along(y, window.top, window.bottom, shape[0])
            u, columns = _along(x, window.left, window.right, shape[1])
            if not len(v[0]) or not len(u[0]):
                continue
            values = self.probabilities(index, threshold, corrections)
            sampled = _sample(values, v[0], u[0])
            fade = v[1][:, None] * u[1]
            total[:, rows, columns] += sampled * fade
            weight[rows, columns] += fade
        return total.div_(weight)

    def touched(self, changed: list[Box]) -> list[Box]:
        """Return the windows whose probabilities depend on corrections in these boxes."""
        return [window for window in self.boxes if any(window.meets(box) for box in changed)]

    def _forget_what_changed(self, threshold: float, corrections: LargeCorrections | None) -> None:
        """Keep of the windows only what holds with this threshold and these corrections."""
        before, seen = self._made_with
        if threshold != before:
            self._changes.clear()
        elif corrections is not seen:
            for window in self.touched(changed_blocks(seen, corrections)):
                self._changes.pop(self.boxes.index(window), None)
        self._made_with = (threshold, corrections)

    def _prior(self, index: int, threshold: float) -> Tensor:
        """``(K + 1, gh, gw)``, what relevance says of the places of a window."""
        low, high = self._range
        scaled = (self._settled[index] - low) / (high - low).clamp(min=1e-6)
        scaled = resize(scaled.clamp(max=1), self.grid)
        background = torch.full_like(scaled[:1], threshold + self.options.bias)
        return torch.softmax(torch.cat([background, scaled]) * self.options.sharpness, dim=0)

    def _kept_change(
        self, index: int, threshold: float, corrections: LargeCorrections | None
    ) -> _Change | None:
        """As `_change`; that of the windows used last is kept."""
        self._forget_what_changed(threshold, corrections)
        if index in self._changes:
            self._changes.move_to_end(index)
            return self._changes[index]
        fixed = None if corrections is None else corrections.read(self.boxes[index])
        change = self._change(index, self._prior(index, threshold), fixed)
        self._changes[index] = change
        while sum(kept.nbytes for kept in self._changes.values() if kept) > _KEPT_BYTES:
            self._changes.popitem(last=False)
        return change

    def _change(self, index: int, prior: Tensor, fixed: NDArray[np.int16] | None) -> _Change | None:
        """Let a window's superpixels learn from its corrections, and agree."""
        leading = prior.argmax(0)
        if fixed is None and bool((leading == leading[0, 0]).all()):
            # What is behind everywhere stays so when all have heard each other.
            return None
        scene = self._scene(index)
        before = scene.pieces.average(prior)
        after = first = scene.crf(before)
        if fixed is not None:
            after = scene.crf(before + scene.learner.change(before, fixed, scene.crf))
            after = scene.learner.favour(after, first, fixed)
        return _Change(scene.pieces.index.astype(np.uint16), after - before)

    def relevance_of(self, box: Box, shape: tuple[int, int] | None = None) -> Tensor:
        """Return the relevance of a box's pixels, or of ``shape`` cells that tile it."""
        rows, columns = shape or box.shape
        height, width = self.encoding.shape
        y = box.top + (torch.arange(rows) + 0.5) * (box.shape[0] / rows)
        x = box.left + (torch.arange(columns) + 0.5) * (box.shape[1] / columns)
        return _sample(self.relevance, y / height, x / width)

    def _spreading(self, index: int) -> Spreading:
        scene = self._scene(index)
        return Spreading.over(scene.lab, scene.maps, self.coarse, self.options)

    def _scene(self, index: int) -> Scene:
        """Return what is known of a window whatever the classes."""
        if index not in self._scenes:
            level = self.encoding.levels[-1]
            box = self.boxes[index]
            pixels = self.encoding.reduced[box.reduced(level.step).slices]
            features = [values.numpy() for values in level.store.features(index)]
            rows, columns = grid_of(box.shape, WORK_SIDE)
            small = shrink(pixels, (min(rows, pixels.shape[0]), min(columns, pixels.shape[1])))
            self._scenes[index] = Scene(small, features, self.options)
            while len(self._scenes) > _SCENES:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(index)
        return self._scenes[index]


def _along(
    centres: Tensor, start: int, end: int, length: int
) -> tuple[tuple[Tensor, Tensor], slice]:
    """Positions in [0, 1] and weights of the cells that lie in a window, along one axis."""
    inside = torch.nonzero((centres > start) & (centres < end))[:, 0]
    if not len(inside):
        return (centres[:0], centres[:0]), slice(0, 0)
    part = slice(int(inside[0]), int(inside[-1]) + 1)
    position = (centres[part] - start) / (end - start)
    weight = torch.ones_like(position)
    if start > 0:
        weight = weight * (position / OVERLAP).clamp(max=1)
    if end < length:
        weight = weight * ((1 - position) / OVERLAP).clamp(max=1)
    return (position, weight), part


def _sample(maps: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read maps bilinearly at positions in [0, 1] along each axis: ``(K, len(y), len(x))``."""
    points = torch.stack(torch.meshgrid(y * 2 - 1, x * 2 - 1, indexing="ij")[::-1], dim=-1)
    return F.grid_sample(
        maps[None], points[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
