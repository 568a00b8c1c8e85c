"""Large planes in the engine process: `LargeSegmenter`, asked as a `Segmenter` is asked."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_wildseg.engine.classes import ClassInfo
from napari_wildseg.engine.large import LargeImage, LargeResult, LargeSegmenter
from napari_wildseg.engine.large.layout import tiles
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.memory.records import Source
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.progress import Progress, Steps, drain
from napari_wildseg.engine.result import Result
from napari_wildseg.engine.stacks.propagation import PlaneFeatures
from napari_wildseg.process.server import Reader

_PIECE = 1024

_NOT_REMEMBERED = "An image this large is not remembered itself: crop a part, and finish that."

MAP_SIDE = 1024
"""Longest side of a relevance map that is shown. The model sees no finer, and napari would be
handed 400 MB for 10,000 x 10,000; nor has it to interpolate, which takes long in software."""


class RemotePlane:
    """A plane that stays in the window, sliced like an array; only what is asked for is read.

    `shape`: ``(H, W, 3)``.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self.reader: Reader | None = None
        """Reads from the window, for the call under way."""

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        assert self.reader is not None
        rows, columns = key
        box = [*rows.indices(self.shape[0]), *columns.indices(self.shape[1])]
        return np.asarray(self.reader(box))[..., :3]


class _RelevanceMaps:
    """One map at a time, made when it is asked for, on a grid that tiles the plane."""

    def __init__(self, maps: NDArray[np.float32], shape: tuple[int, int]) -> None:
        step = max(1.0, max(shape) / MAP_SIDE)
        self._maps, self._shape = maps, tuple(max(1, round(n / step)) for n in shape)

    def __len__(self) -> int:
        return len(self._maps)

    def __getitem__(self, place: int) -> NDArray[np.float32]:
        import torch
        from torch.nn import functional as F

        coarse = torch.from_numpy(self._maps[place])[None, None]
        fine = F.interpolate(coarse, self._shape, mode="bilinear", align_corners=False)
        return np.asarray(fine[0, 0].numpy(), np.float32)


class WindowedSegmenter:
    """Segments one large plane by windows and tiles."""

    def __init__(self, model: str | CLIPModel, *, threshold: float, **options: Any) -> None:
        self._large = LargeSegmenter(model, threshold=threshold, **options)
        self.threshold = threshold
        self.result: Result | None = None
        self._seeds: tuple[float, NDArray[np.uint8]] | None = None
        self.plane: RemotePlane | None = None

    @property
    def source(self) -> Source:
        """What a class memory belongs to."""
        return self._large.source

    @property
    def memory(self) -> ClassMemory | None:
        """The class memory that `segment_steps` asks."""
        return self._large.memory

    @memory.setter
    def memory(self, memory: ClassMemory | None) -> None:
        self._large.memory = memory

    @property
    def model(self) -> CLIPModel:
        """The model, loaded when first asked for."""
        return self._large.model

    def set_image_steps(self, plane: Any) -> Steps[None]:
        """Encode a plane, ``(H, W, 3)``, and its windows."""
        yield from self._large.set_image_steps(LargeImage(plane))
        self.result = self._seeds = None

    def segment_steps(
        self, classes: Iterable[ClassInfo], *, threshold: float, refine: bool
    ) -> Steps[Result]:
        """As `napari_wildseg.Segmenter.segment_steps`."""
        found = yield from self._large.segment_steps(classes, threshold=threshold, refine=refine)
        self.threshold, self._seeds = threshold, None
        return (yield from self._result_steps(found, refined=refine))

    def refine_steps(self, corrections: NDArray[np.int16] | None) -> Steps[Result]:
        """As `napari_wildseg.Segmenter.refine_steps`; few tiles are made anew after a dab."""
        found = yield from self._large.refine_steps(corrections, threshold=self.threshold)
        return (yield from self._result_steps(found, refined=True))

    def pseudo_labels(self, threshold: float) -> NDArray[np.uint8]:
        """Return the pseudo-labels at a threshold."""
        return drain(self._pseudo_steps(threshold))

    def _pseudo_steps(self, threshold: float) -> Steps[NDArray[np.uint8]]:
        # Corrections do not change them, and they take longer than what a dab leads to.
        if self._seeds is not None and self._seeds[0] == threshold:
            return self._seeds[1]
        shape = self._large.image_shape
        assert shape is not None
        out = np.empty(shape, np.uint8)
        boxes = list(tiles(shape, _PIECE))
        for number, box in enumerate(boxes):
            yield Progress(number, len(boxes), "Labelling")
            out[box.slices] = self._large.pseudo_labels(box, threshold)
        out.setflags(write=False)
        self._seeds = threshold, out
        return out

    def suggest(self, *, vocabulary: str, top: int) -> list[tuple[str, float]]:
        """Name what the plane as a whole may show."""
        return self._large.suggest(vocabulary, top)

    def name_maps(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Say where names have their evidence."""
        return self._large.name_maps(names)

    def plane_features(self) -> PlaneFeatures:
        """Describe the plane's places, for carrying labels to another plane."""
        return self._large.plane_features()

    def _result_steps(self, found: LargeResult, *, refined: bool) -> Steps[Result]:
        pseudo = yield from self._pseudo_steps(self.threshold)
        self.result = Result(
            # The large segmenter changes its labels in place; what is shown must not change so.
            labels=np.array(found.labels) if refined else pseudo,
            pseudo_labels=pseudo,
            relevance=_RelevanceMaps(found.relevance, pseudo.shape),  # type: ignore[arg-type]
            classes=found.classes,
            model=found.model,
            settings=found.settings,
            notices=(*found.notices, *([_NOT_REMEMBERED] if "memory" in found.settings else ())),
            seconds=found.seconds,
        )
        return self.result
