"""What each place of a large image probably is, before the edges are looked at.

The first two steps of the default refiner (`engine.refine.default`), window by window: relevance
is spread over the places that a window's features and colours find alike, and corrections teach
their surroundings. A window fades out towards its borders, and its neighbour fades in, so the
probabilities change without a seam from one to the next. They are made where and when a tile asks
for them; what is kept is one coarse map a window and class.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_wildseg.engine.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.large.corrections import LargeCorrections
from napari_wildseg.engine.large.layout import OVERLAP, Box
from napari_wildseg.engine.large.source import shrink
from napari_wildseg.engine.large.windows import LargeEncoding
from napari_wildseg.engine.pixels import lab_of, resize
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.learn import Learner
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.spreading import Spreading
from napari_wildseg.engine.refine.superpixels import Superpixels

_KEPT_BYTES = 128 * 2**20
"""Probabilities of the windows used last are kept up to so many bytes."""

_LEARNERS = 4
"""What learns from corrections is kept for so many windows; each has some 30 MB."""

SPREAD_SIDE = 24
"""Cells along a side of a window among which relevance is spread; a tower of stride 16 sees no
more in a window, and every pair of them has an affinity."""

_BEST_PLACES = 128
"""The mean of so many best places counts as a full score: one odd place must not set the scale,
and a single small object must."""


@dataclass
class _Window:
    """What the probabilities of one window are made from; all of it from the image alone."""

    lab: Tensor  # (3, h, w) CIE Lab divided by 100, as large as the refiner works
    features: list[Tensor]  # of the network, the most abstract last


class WindowPriors:
    """Probabilities of all places, for one list of classes.

    Parameters
    ----------
    encoding : LargeEncoding
        The image.
    relevance : torch.Tensor
        ``(K, gh, gw)`` float32 in [0, 1], cells tiling the image.
    options : DefaultOptions
        Settings of the refiner.
    """

    def __init__(self, encoding: LargeEncoding, relevance: Tensor, options: DefaultOptions) -> None:
        self.encoding = encoding
        self.relevance = relevance
        self.options = options
        self.boxes = encoding.levels[-1].boxes
        shape = self.boxes[0].shape
        self.coarse = grid_of(shape, SPREAD_SIDE)
        self.grid = grid_of(shape, GRID_SIDE)
        self._settled = torch.zeros(len(self.boxes), len(relevance), *self.coarse)
        self._range = (torch.zeros(len(relevance), 1, 1), torch.ones(len(relevance), 1, 1))
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._learners: OrderedDict[int, Learner] = OrderedDict()
        self._made_with: tuple[float, object] | None = None

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
            ``(K + 1, gh, gw)`` float32, background first, cells tiling the window; finer ones
            where there are corrections.
        """
        if self._made_with != (threshold, corrections):
            self._kept.clear()
            self._made_with = (threshold, corrections)
        if index not in self._kept:
            self._kept[index] = made = self._probabilities(index, threshold, corrections)
            size = made.numel() * made.element_size()
            while len(self._kept) > max(1, _KEPT_BYTES // size):
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return self._kept[index]

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

    def _probabilities(
        self, index: int, threshold: float, corrections: LargeCorrections | None
    ) -> Tensor:
        low, high = self._range
        scaled = (self._settled[index] - low) / (high - low).clamp(min=1e-6)
        scaled = resize(scaled.clamp(max=1), self.grid)
        background = torch.full_like(scaled[:1], threshold + self.options.bias)
        prior = torch.softmax(torch.cat([background, scaled]) * self.options.sharpness, dim=0)
        fixed = None if corrections is None else corrections.read(self.boxes[index])
        if fixed is None:
            return prior
        learner = self._learner(index)
        pieces = learner.pieces
        fine = resize(prior, (pieces.index.shape[0], pieces.index.shape[1]))
        change = learner.change(pieces.average(prior), fixed)
        fine = (fine + pieces.paint(change)).clamp_(1e-4)
        return fine.div_(fine.sum(0))

    def relevance_of(self, box: Box, shape: tuple[int, int] | None = None) -> Tensor:
        """Return the relevance of a box's pixels, or of ``shape`` cells that tile it."""
        rows, columns = shape or box.shape
        height, width = self.encoding.shape
        y = box.top + (torch.arange(rows) + 0.5) * (box.shape[0] / rows)
        x = box.left + (torch.arange(columns) + 0.5) * (box.shape[1] / columns)
        return _sample(self.relevance, y / height, x / width)

    def _learner(self, index: int) -> Learner:
        """Return what learns from the corrections of one window."""
        if index not in self._learners:
            window = self._window(index)
            pieces = Superpixels.of(window.lab * 100, self.options.pieces)
            learner = Learner(pieces, pieces.looks(window.features), self.options.learning)
            self._learners[index] = learner
            while len(self._learners) > _LEARNERS:
                self._learners.popitem(last=False)
        self._learners.move_to_end(index)
        return self._learners[index]

    def _spreading(self, index: int) -> Spreading:
        window = self._window(index)
        return Spreading.over(window.lab, window.features, self.coarse, self.options)

    def _window(self, index: int) -> _Window:
        level = self.encoding.levels[-1]
        box = self.boxes[index]
        pixels = self.encoding.reduced[box.reduced(level.step).slices]
        rows, columns = grid_of(box.shape, math.sqrt(self.options.work_pixels))
        small = shrink(pixels, (min(rows, pixels.shape[0]), min(columns, pixels.shape[1])))
        return _Window(lab_of(small) / 100, level.store.features(index))


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
