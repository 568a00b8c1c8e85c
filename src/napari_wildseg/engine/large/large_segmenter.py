"""`LargeSegmenter`: segmentation by class names for images that do not fit into memory."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.classes import ClassInfo, parse_classes
from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.images.encoding import ImageEncoding
from napari_wildseg.engine.large.large_result import LargeResult
from napari_wildseg.engine.large.layout import Box, tiles
from napari_wildseg.engine.large.priors import WindowPriors
from napari_wildseg.engine.large.sampling import sample_labels
from napari_wildseg.engine.large.source import LargeImage, as_large_image, shrink
from napari_wildseg.engine.large.suggest_names import suggest_large
from napari_wildseg.engine.large.tile import refine_tile, sample_contrast, walk_domain
from napari_wildseg.engine.large.tile_corrections import (
    LargeCorrections,
    TileLimits,
    changed_blocks,
)
from napari_wildseg.engine.large.windows import LargeEncoding, encode_large_steps
from napari_wildseg.engine.limits import Limits
from napari_wildseg.engine.maps.pseudo_labels import GAMMA, Evidence, normalise
from napari_wildseg.engine.maps.thresholds import checked_threshold, vocabulary_scores
from napari_wildseg.engine.maps.uncertainty import Uncertainty, estimate_uncertainty
from napari_wildseg.engine.memory.class_memory import ClassMemory
from napari_wildseg.engine.memory.recall import Recaller
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.names.class_texts import BACKGROUND_WORDS, text_rows
from napari_wildseg.engine.names.tagging import everyday_rivals
from napari_wildseg.engine.names.vocabularies import names_of
from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.engine.refine.options import DefaultOptions
from napari_wildseg.engine.relevance import get_method
from napari_wildseg.engine.result import no_pixels_notice
from napari_wildseg.engine.segmenter_base import SegmenterBase
from napari_wildseg.engine.stacks.propagation import PlaneFeatures, plane_features_of
from napari_wildseg.engine.thread_tracker import one_thread

_TILE_SIDE = 1024
"""Side of a tile, in pixels."""

_NO_LIMITS = Limits()

_BEST_PLACES = 32
"""Number of cells whose mean is a relevance map's peak."""


@dataclass
class _Run:
    """State of `LargeSegmenter.segment` that `LargeSegmenter.refine` continues from."""

    classes: tuple[ClassInfo, ...]
    priors: WindowPriors
    threshold: float
    recaller: Recaller | None = None
    labels: Any = None
    refined: bool = True
    counts: dict[Box, NDArray[np.int64]] = field(default_factory=dict)
    corrections: LargeCorrections | None = None
    # Tiles that the limits of a refinement keep from being what a new run would make of them.
    held_back: set[Box] = field(default_factory=set)

    @property
    def ids(self) -> NDArray[np.uint8]:
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(self.classes) + 1] = [info.id for info in self.classes]
        return table


class LargeSegmenter(SegmenterBase[LargeImage, LargeEncoding, _Run]):
    """Segment one large image by class names.

    Relevance comes from views of the whole image and from windows up to full resolution; label
    boundaries are computed tile by tile. In memory are one tile and a reduced copy of the image of
    at most some 60 megapixels. Encodings are kept in a temporary folder.

    Parameters
    ----------
    model : str or CLIPModel
        As for `napari_wildseg.Segmenter`.
    views : str
        Preset of views of the whole image.
    method : str, optional
        Relevance method. Default: the first that supports the image tower.
    threshold : float
        In [0, 1]; a higher value gives more background.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    background : sequence of str
        Words that compete with the classes.
    detail : int, optional
        Image pixels per pixel of the network's input in the finest windows. 1 finds objects that
        are as large as in an ordinary photograph. Default: the finest with at most 400 windows.
    tile : int
        Side of a tile, in pixels; a multiple of 2.
    memory : ClassMemory, optional
        What earlier images taught about the classes; asked by `segment`. It may be set, or taken
        away, between two calls of `segment`. Large images themselves are not remembered: crop a
        part, and remember that with `napari_wildseg.Segmenter`.

    Examples
    --------
    >>> import zarr
    >>> from napari_wildseg import LargeSegmenter
    >>> segmenter = LargeSegmenter()
    >>> segmenter.set_image(zarr.open("slide.zarr", mode="r"))  # doctest: +SKIP
    >>> result = segmenter.segment("boat, jetty")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | CLIPModel = "starter",
        *,
        views: str = "default",
        method: str | None = None,
        threshold: float = 0.5,
        device: str = "auto",
        background: Sequence[str] = BACKGROUND_WORDS,
        detail: int | None = None,
        tile: int = _TILE_SIDE,
        memory: ClassMemory | None = None,
    ) -> None:
        if detail is not None and detail < 1:
            raise InputError(f"The detail is {detail}: give a whole number from 1.")
        if tile < 2 or tile % 2:
            raise InputError(f"The side of a tile is {tile}: give an even number of pixels.")
        super().__init__(model, views, method, threshold, device, background, memory)
        self.detail = detail
        self.tile = tile
        self.options = DefaultOptions()
        self._contrast = 0.0
        self.result: LargeResult | None = None

    def set_image(self, image: Any) -> None:
        """Encode an image and its windows; later calls reuse the encodings.

        Parameters
        ----------
        image : LargeImage, array or sequence of array
            An array that can be sliced (NumPy, memory-mapped, dask, zarr): ``(H, W)``,
            ``(H, W, 3)`` or ``(H, W, 4)``. A sequence is a pyramid, finest level first.

        Raises
        ------
        InputError
            If the image cannot be segmented.
        """
        drain(self.set_image_steps(image))

    @one_thread
    def set_image_steps(self, image: Any) -> Steps[None]:
        """Generator form of `set_image`; the old image stays until it ends."""
        large = as_large_image(image)
        yield Progress(0, 1, "Loading the model")
        model = self.model
        method = get_method(self.method, model)
        self._memory_for(method.name)
        started = time.perf_counter()
        encoding = yield from encode_large_steps(large, model, method, self.views, self.detail)
        contrast = sample_contrast(large)
        self._seconds = {"encode": time.perf_counter() - started}
        self._image, self._encoding, self._contrast = large, encoding, contrast
        self._state = self.result = None
        self._turns.image_is_set()

    def segment(
        self,
        labels: str | Iterable[str | ClassInfo],
        *,
        threshold: float | None = None,
        out: Any = None,
        refine: bool = True,
    ) -> LargeResult:
        """Segment the image by class names.

        Parameters
        ----------
        labels : str or iterable of str or ClassInfo
            ``"cat, cup of coffee=cup|mug"``, or one entry per class.
        threshold : float, optional
            In [0, 1]; kept for later calls.
        out : array, optional
            ``(H, W)`` uint8, an array that can be written by slices (zarr, memory-mapped); each
            tile is written when it is done. Default: a new NumPy array.
        refine : bool
            If False, the labels are pseudo-labels: 255 where the relevance maps are undecided.

        Raises
        ------
        InputError
            If there is no image, or the names are invalid.
        """
        return drain(self.segment_steps(labels, threshold=threshold, out=out, refine=refine))

    @one_thread
    def segment_steps(
        self,
        labels: str | Iterable[str | ClassInfo],
        *,
        threshold: float | None = None,
        out: Any = None,
        refine: bool = True,
    ) -> Steps[LargeResult]:
        """Generator form of `segment`; the old result stays until it ends."""
        run = yield from self.relate_steps(labels, threshold=threshold)
        assert self._image is not None
        if out is not None and tuple(out.shape) != self._image.shape:
            raise InputError(f"The output has shape {tuple(out.shape)}, not {self._image.shape}.")
        run.labels = np.zeros(self._image.shape, np.uint8) if out is None else out
        started = time.perf_counter()
        every = list(tiles(self._image.shape, self.tile))
        for number, tile in enumerate(every):
            what = "Refining" if refine else "Labelling"
            now = Progress(number, len(every), f"{what} tile {number + 1} of {len(every)}")
            yield now
            if refine:
                made = yield from self._tile_steps(run, tile, None, now)
            else:
                made = self._tile_seeds(run, tile)
            run.labels[tile.slices] = made
            run.counts[tile] = np.bincount(made.ravel(), minlength=256)
        self._seconds["refine"] = time.perf_counter() - started
        run.refined = refine
        return self._finish(run, len(every))

    def relate_steps(
        self, labels: str | Iterable[str | ClassInfo], *, threshold: float | None = None
    ) -> Steps[_Run]:
        """Compute relevance and priors, from which the tiles are refined."""
        _, encoding = self._require_image()
        classes = parse_classes(labels)
        threshold = self.threshold if threshold is None else checked_threshold(threshold)
        started = time.perf_counter()
        text, background = text_rows(self.model, classes, self.background)
        maps = yield from encoding.relevance_steps(self.model, text, background)
        relevance = normalise(maps, places=_BEST_PLACES)
        memory = self._memory_for(encoding.overview.method.name)
        recaller = None if memory is None else Recaller(memory, classes)
        asked = recaller if recaller is not None and recaller.active else None
        priors = WindowPriors(encoding, relevance, self.options, asked)
        yield from priors.spread_steps()
        yield from priors.recall_steps()
        self._seconds["relevance"] = time.perf_counter() - started
        return _Run(classes, priors, threshold, recaller)

    def refine(
        self,
        corrections: Any = None,
        *,
        threshold: float | None = None,
        near: float | None = None,
        locked: Iterable[int | str] = (),
    ) -> LargeResult:
        """Apply corrections; only the tiles that they can affect are computed again.

        Parameters
        ----------
        corrections : array, optional
            ``(H, W)`` integers, an array that can be sliced: -1 not corrected, else 0 or a class
            id. All corrections so far, not only new ones.
        threshold : float, optional
            In [0, 1]; kept for later calls. A change recomputes every tile.
        near : float, optional
            Change nothing farther than this, in pixels, from what was corrected since the last
            result.
        locked : iterable of int or str
            Classes, by id or name, that lose no pixel of the last result and get none, except
            where a correction says so.

        Returns
        -------
        LargeResult
            Without ``near`` and ``locked`` the labels are the same as those of a new run with
            these corrections.

        Raises
        ------
        InputError
            If nothing was segmented before, or shape or values do not fit.
        """
        return drain(self.refine_steps(corrections, threshold=threshold, near=near, locked=locked))

    @one_thread
    def refine_steps(
        self,
        corrections: Any = None,
        *,
        threshold: float | None = None,
        near: float | None = None,
        locked: Iterable[int | str] = (),
    ) -> Steps[LargeResult]:
        """Generator form of `refine`; the labels change only at the end."""
        run = self._require_state()
        assert self._image is not None
        started = time.perf_counter()
        limits = Limits.checked(near, locked, run.classes)
        threshold = run.threshold if threshold is None else checked_threshold(threshold)
        fixed = None
        if corrections is not None:
            yield Progress(0, 1, "Looking through the corrections")
            ids = [info.id for info in run.classes]
            fixed = LargeCorrections(corrections, self._image.shape, ids)
        changed = changed_blocks(run.corrections, fixed)
        stale = list(tiles(self._image.shape, self.tile))
        if threshold == run.threshold and run.refined:
            reached = [*changed, *run.priors.affected_windows(changed)]
            stale = [t for t in stale if t in run.held_back or self._reached(t, reached)]
        limited = TileLimits(limits, run.corrections, fixed, changed)
        todo = [tile for tile in stale if limited.allows(tile)]
        made, held_back = {}, set(stale) - set(todo)
        before, run.threshold = run.threshold, threshold
        try:
            for number, tile in enumerate(todo):
                now = Progress(number, len(todo), f"Refining tile {number + 1} of {len(todo)}")
                free = yield from self._tile_steps(run, tile, fixed, now)
                made[tile] = limited.apply(tile, np.asarray(run.labels[tile.slices]), free)
                if (made[tile] != free).any():
                    held_back.add(tile)
        except BaseException:  # cancelled: restore the state
            run.threshold = before
            raise
        for tile, labels in made.items():
            run.labels[tile.slices] = labels
            run.counts[tile] = np.bincount(labels.ravel(), minlength=256)
        run.corrections, run.refined, run.held_back = fixed, True, held_back
        self._seconds["refine"] = time.perf_counter() - started
        return self._finish(run, len(todo), limits)

    def pseudo_labels(self, box: Box, threshold: float | None = None) -> NDArray[np.uint8]:
        """Label the decided pixels of a box from relevance alone.

        Parameters
        ----------
        box : Box
            The pixels.
        threshold : float, optional
            In [0, 1]; that of the last run by default.

        Returns
        -------
        ndarray
            uint8 of the box's shape: 0 background, class ids, 255 undecided.
        """
        return self._tile_seeds(self._require_state(), box, threshold)

    def suggest(
        self, vocabulary: str | Sequence[str] = "coco", top: int = 10
    ) -> list[tuple[str, float]]:
        """Suggest names from the image and its windows; see `napari_wildseg.Segmenter`."""
        names = names_of(vocabulary)
        return vocabulary_scores(self.name_shares(names)[:top], len(names))

    def name_shares(self, names: Sequence[str]) -> list[tuple[str, float]]:
        """Score names given for this image; see `napari_wildseg.Segmenter.name_shares`."""
        _, encoding = self._require_image()
        return suggest_large(encoding, self.model, names, everyday_rivals(self.background))

    def uncertainty(self) -> Uncertainty:
        """Estimate the uncertainty of the last result, on the grid of its relevance maps.

        See `napari_wildseg.Segmenter.uncertainty`. The views of the whole image are compared.

        Raises
        ------
        InputError
            If nothing was segmented before.
        """
        run = self._require_state()
        by_view = self._by_view(run)
        relevance = (run.priors.relevance**GAMMA).numpy()
        shape = (relevance.shape[1], relevance.shape[2])
        pseudo = Evidence(relevance).pseudo_labels(run.threshold)
        return estimate_uncertainty(sample_labels(run.labels, shape), pseudo, relevance, by_view)

    def overview(self, side: int) -> NDArray[np.uint8]:
        """Return a reduced RGB image, without reading the image again.

        Parameters
        ----------
        side : int
            Maximum length of its longer side, in pixels.

        Returns
        -------
        ndarray
            ``(h, w, 3)`` uint8.
        """
        reduced = self._require_image()[1].reduced
        factor = max(1.0, max(reduced.shape[:2]) / side)
        height, width = (max(1, round(n / factor)) for n in reduced.shape[:2])
        return shrink(reduced, (height, width))

    def plane_features(self) -> PlaneFeatures:
        """Return features and colours; see `napari_wildseg.Segmenter.plane_features`."""
        image, encoding = self._require_image()
        described = plane_features_of(self.overview(1024), encoding.overview.features())
        return replace(described, shape=image.shape)

    # ------------------------------------------------------------------ internal

    def _whole_encoding(self) -> ImageEncoding:
        return self._require_image()[1].overview

    def _tile_seeds(self, run: _Run, box: Box, threshold: float | None = None) -> NDArray[np.uint8]:
        full = run.priors.relevance_of(box) ** GAMMA
        used = run.threshold if threshold is None else checked_threshold(threshold)
        return run.ids[Evidence(full.numpy()).pseudo_labels(used)]

    def _tile_steps(
        self, run: _Run, tile: Box, corrections: LargeCorrections | None, now: Progress
    ) -> Steps[NDArray[np.uint8]]:
        """Refine one tile; yield ``now`` wherever the run may be cancelled."""
        assert self._image is not None

        def prior(box: Box, step: int) -> Tensor:
            return run.priors.blend(box, step, run.threshold, corrections)

        domain = walk_domain(tile, self._image.shape)
        for _ in run.priors.prepare_steps(domain, run.threshold, corrections):
            yield now
        options = run.priors.walk_options
        places = refine_tile(self._image, tile, prior, corrections, self._contrast, options)
        return run.ids[places]

    def _reached(self, tile: Box, boxes: Sequence[Box]) -> bool:
        assert self._image is not None
        domain = walk_domain(tile, self._image.shape)
        return any(domain.overlaps(box) for box in boxes)

    def _finish(self, run: _Run, made: int, limits: Limits = _NO_LIMITS) -> LargeResult:
        assert self._encoding is not None
        counts: NDArray[np.int64] = np.stack(list(run.counts.values())).sum(0)
        self._state, self.threshold = run, run.threshold
        self.result = LargeResult(
            labels=run.labels,
            relevance=run.priors.relevance.numpy(),
            classes=run.classes,
            model=self.model.name,
            settings={
                "threshold": run.threshold,
                "views": self.views,
                "method": self._encoding.overview.method.name,
                "refiner": "default" if run.refined else None,
                "detail": self._encoding.levels[-1].step,
                **limits.to_settings(),
                **({} if run.recaller is None else {"memory": run.recaller.used}),
            },
            counts=counts,
            notices=(
                *self.model.notices,
                *(() if run.recaller is None else run.recaller.notices),
                *(no_pixels_notice(info.name) for info in run.classes if not counts[info.id]),
            ),
            seconds=dict(self._seconds),
            tiles=made,
        )
        return self.result
