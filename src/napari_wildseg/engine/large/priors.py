"""Prior probabilities of the cells of a large image, window by window.

These are the first three steps of the default refiner (`engine.refine.default`): relevance is
spread over similar cells of a window, corrections are propagated to similar superpixels, and a CRF
makes similar superpixels agree. Overlapping windows are blended with linear weights, so the
probabilities have no seams. They are computed when a tile needs them. Kept are one coarse map per
window and class, and the superpixel results of the most recently used windows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
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
from napari_wildseg.engine.maps.pseudo_labels import GAMMA
from napari_wildseg.engine.memory.recall import ColourStatistics, Recaller
from napari_wildseg.engine.memory.records import THRESHOLD
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.refine.scene import Scene
from napari_wildseg.engine.refine.spreading import Spreading

_KEPT_BYTES = 128 * 2**20
"""Memory limit, in bytes, for the results of recently used windows."""

_SAMPLED_WINDOWS = 16
"""Number of windows from which an image's mean colour and its spread are estimated."""

_SCENES = 4
"""Number of windows whose class-independent data is kept, some 25 MB each."""

WORK_SIDE = 192
"""Side of a window, in pixels, for the computation of superpixels: at full image resolution no
finer than the cells of the random walk."""

WINDOW_SUPERPIXELS = 1500
"""Superpixels per window. In the finest windows they are as large as those of an ordinary image."""

_SPREAD_SIDE = 24
"""Side, in cells, of the grid on which relevance is spread within a window. A tower of stride 16
has no finer cells, and every pair of cells has an affinity."""

_BEST_PLACES = 128
"""Number of largest values whose mean counts as full score: a single outlier must not set the
scale, but a single small object must."""


@dataclass(frozen=True)
class _Change:
    """Change of a window's probabilities by corrections and CRF, per superpixel."""

    index: NDArray[np.uint16]  # (h, w), the superpixel of every pixel
    values: Tensor  # (n, K + 1)

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + self.values.nbytes

    def paint(self) -> Tensor:
        """Return the change per pixel, ``(K + 1, h, w)``."""
        return self.values.T[:, torch.from_numpy(self.index.astype(np.int64))]


class WindowPriors:
    """Prior probabilities of all cells for one list of classes.

    `relevance`: ``(K, gh, gw)`` float32 in [0, 1], cells tiling the image; `recaller`: a class
    memory that is used for the classes.
    """

    def __init__(
        self,
        encoding: LargeEncoding,
        relevance: Tensor,
        options: DefaultOptions,
        recaller: Recaller | None = None,
    ) -> None:
        self.encoding = encoding
        self._recaller = recaller
        self.relevance = relevance
        # The total weight of a stroke's superpixels does not depend on their number.
        reach_precision = (
            options.learning.reach_precision * options.superpixels / WINDOW_SUPERPIXELS
        )
        self.options = replace(
            options,
            work_pixels=WORK_SIDE**2,
            superpixels=WINDOW_SUPERPIXELS,
            learning=replace(options.learning, reach_precision=reach_precision),
        )
        self.boxes = encoding.levels[-1].boxes
        shape = self.boxes[0].shape
        self.coarse = grid_of(shape, _SPREAD_SIDE)
        self.grid = grid_of(shape, GRID_SIDE)
        self._spread = torch.zeros(len(self.boxes), len(relevance), *self.coarse)
        self._range = (torch.zeros(len(relevance), 1, 1), torch.ones(len(relevance), 1, 1))
        self._changes: OrderedDict[int, _Change | None] = OrderedDict()
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._statistics: ColourStatistics | None = None
        self._recalled: OrderedDict[int, Tensor] = OrderedDict()  # `_scores`
        self._made_with: tuple[float | None, LargeCorrections | None] = (None, None)

    def spread_steps(self) -> Steps[None]:
        """Spread relevance in every window; must run before anything else."""
        for index in range(len(self.boxes)):
            yield Progress(index, len(self.boxes), "Spreading over similar places")
            start = self.relevance_of(self.boxes[index], self.coarse)
            # Skip windows without positive relevance.
            if float(start.amax()) > 0:
                self._spread[index] = self._spreading(index)(start)
        flat = self._spread.transpose(0, 1).flatten(1)
        high = flat.topk(min(_BEST_PLACES, flat.shape[1]), dim=1).values.mean(1)
        low = flat.amin(1)
        self._range = (low[:, None, None], high[:, None, None])

    def recall_steps(self) -> Steps[None]:
        """Replace `relevance` by what the memory makes of it, if there is one; after spreading."""
        if self._recaller is None:
            return
        count = len(self.boxes)
        sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED_WINDOWS)).astype(int))
        scenes = []
        for place in sample.tolist():
            yield Progress(0, count, "Recalling earlier images")
            scenes.append(self._scene(place))
        self._statistics = ColourStatistics.of(scenes)
        for index in range(count):
            yield Progress(index, count, "Recalling earlier images")
            self._scores(index)
        height, width = self.encoding.shape
        rows, columns = self.relevance.shape[1:]
        y = (torch.arange(rows) + 0.5) * (height / rows)
        x = (torch.arange(columns) + 0.5) * (width / columns)
        maps = self._blend(y, x, Box(0, 0, height, width), self._scores, len(self.relevance))
        # `GAMMA` belongs to maps that the network made, and is applied where these are read.
        self.relevance = (maps - self.options.bias).clamp(0, 1) ** (1 / GAMMA)

    @property
    def walk_options(self) -> DefaultOptions:
        """Options of the random walk: what a memory decided pixel by pixel is smoothed less."""
        fine = 0.0 if self._recaller is None else self._recaller.fine
        options = self.options
        return replace(options, trust=options.trust * (1 + options.fine_trust * fine))

    def prepare_steps(
        self, box: Box, threshold: float, corrections: LargeCorrections | None
    ) -> Steps[None]:
        """Compute the windows of a box one by one, so that `blend` returns at once."""
        todo = [index for index, window in enumerate(self.boxes) if window.overlaps(box)]
        for number, index in enumerate(todo):
            yield Progress(number, len(todo), "Making similar places agree")
            self._kept_change(index, threshold, corrections)

    def probabilities(
        self, index: int, threshold: float, corrections: LargeCorrections | None
    ) -> Tensor:
        """Return the probabilities of one window.

        Returns ``(K + 1, h, w)`` float32, background first, on cells that tile the window.
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

        Returns ``(K + 1, rows, columns)`` float32, summing to 1.
        """
        shape = self.encoding.shape
        y = box.top + (torch.arange(box.shape[0] // step) + 0.5) * step
        x = box.left + (torch.arange(box.shape[1] // step) + 0.5) * step
        y, x = y.clamp(max=shape[0] - 0.5), x.clamp(max=shape[1] - 0.5)
        return self._blend(
            y,
            x,
            box,
            lambda index: self.probabilities(index, threshold, corrections),
            len(self.relevance) + 1,
        )

    def _blend(
        self, y: Tensor, x: Tensor, box: Box, values: Callable[[int], Tensor], channels: int
    ) -> Tensor:
        """Blend maps of the windows at rows ``y`` and columns ``x``, in image pixels, of a box."""
        shape = self.encoding.shape
        total = torch.zeros(channels, len(y), len(x))
        weight = torch.zeros(len(y), len(x))
        for index, window in enumerate(self.boxes):
            if not window.overlaps(box):
                continue
            v, rows = _cell_weights(y, window.top, window.bottom, shape[0])
            u, columns = _cell_weights(x, window.left, window.right, shape[1])
            if not len(v[0]) or not len(u[0]):
                continue
            sampled = _sample(values(index), v[0], u[0])
            fade = v[1][:, None] * u[1]
            total[:, rows, columns] += sampled * fade
            weight[rows, columns] += fade
        return total.div_(weight)

    def affected_windows(self, changed: list[Box]) -> list[Box]:
        """Return the windows whose probabilities depend on corrections in these boxes."""
        return [window for window in self.boxes if any(window.overlaps(box) for box in changed)]

    def _drop_stale(self, threshold: float, corrections: LargeCorrections | None) -> None:
        """Drop results that depend on another threshold or on changed corrections."""
        before, seen = self._made_with
        if threshold != before:
            self._changes.clear()
        elif corrections is not seen:
            for window in self.affected_windows(changed_blocks(seen, corrections)):
                self._changes.pop(self.boxes.index(window), None)
        self._made_with = (threshold, corrections)

    def _prior(self, index: int, threshold: float) -> Tensor:
        """Return ``(K + 1, gh, gw)``, a window's probabilities without corrections."""
        if self._recaller is not None:
            return self.options.probabilities(self._scores(index), threshold)
        return self._spread_prior(index, threshold)

    def _scores(self, index: int) -> Tensor:
        """Return what the memory makes of a window: ``(K, h, w)`` in [0, 1], see `Recalled`."""
        assert self._recaller is not None
        if index not in self._recalled:
            prior = self._spread_prior(index, THRESHOLD)
            found = self._recaller.probabilities(prior, self._scene(index), self._statistics)
            self._recalled[index] = self.options.scores_of(found, THRESHOLD).half()
            kept = sum(scores.nbytes for scores in self._recalled.values())
            if kept > _KEPT_BYTES and len(self._recalled) > 1:
                self._recalled.popitem(last=False)
        self._recalled.move_to_end(index)
        return self._recalled[index].float()

    def _spread_prior(self, index: int, threshold: float) -> Tensor:
        """Return ``(K + 1, gh, gw)``, a window's probabilities from relevance alone."""
        low, high = self._range
        scaled = (self._spread[index] - low) / (high - low).clamp(min=1e-6)
        return self.options.probabilities(resize(scaled.clamp(max=1), self.grid), threshold)

    def _kept_change(
        self, index: int, threshold: float, corrections: LargeCorrections | None
    ) -> _Change | None:
        """Return `_change`, from the cache if the window was used recently."""
        self._drop_stale(threshold, corrections)
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
        """Apply a window's corrections and the CRF to its superpixels; None if nothing changes."""
        leading = prior.argmax(0)
        if fixed is None and bool((leading == leading[0, 0]).all()):
            # A label that leads everywhere also leads after the CRF.
            return None
        scene = self._scene(index)
        before = scene.superpixels.average(prior)
        agreed = scene.crf.first(before, recalled=self._recaller is not None)
        after = first = self._agree_partly(before, agreed)
        if fixed is not None:
            belief = 1.0 if self._recaller is None else self._recaller.belief
            change = scene.learner.change(before, fixed, scene.crf.near, belief=belief)
            after = self._agree_partly(
                before + change, scene.crf.change(before, before + change, agreed)
            )
            after = scene.learner.favour(after, first, fixed)
        return _Change(scene.superpixels.index.astype(np.uint16), after - before)

    def _agree_partly(self, probabilities: Tensor, agreed: Tensor) -> Tensor:
        """Agree less where a memory decided pixel by pixel, as `DefaultRefinement._blend`."""
        if self._recaller is None:
            return agreed
        return probabilities + (1 - self._recaller.fine) * (agreed - probabilities)

    def relevance_of(self, box: Box, shape: tuple[int, int] | None = None) -> Tensor:
        """Return the relevance of a box, per pixel or on ``shape`` cells that tile it."""
        rows, columns = shape or box.shape
        height, width = self.encoding.shape
        y = box.top + (torch.arange(rows) + 0.5) * (box.shape[0] / rows)
        x = box.left + (torch.arange(columns) + 0.5) * (box.shape[1] / columns)
        return _sample(self.relevance, y / height, x / width)

    def _spreading(self, index: int) -> Spreading:
        scene = self._scene(index)
        return Spreading.over(scene.lab, scene.maps, self.coarse, self.options)

    def _scene(self, index: int) -> Scene:
        """Return a window's class-independent data: superpixels, colours, features."""
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


def _cell_weights(
    centres: Tensor, start: int, end: int, length: int
) -> tuple[tuple[Tensor, Tensor], slice]:
    """Return positions in [0, 1] and blending weights of the cells in a window, along one axis."""
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
    """Sample maps bilinearly at positions in [0, 1] per axis: ``(K, len(y), len(x))``."""
    points = torch.stack(torch.meshgrid(y * 2 - 1, x * 2 - 1, indexing="ij")[::-1], dim=-1)
    return F.grid_sample(
        maps[None], points[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
