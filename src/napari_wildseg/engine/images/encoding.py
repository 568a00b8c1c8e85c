"""Encoding of one image: a forward pass of the image tower per view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError, out_of_memory
from napari_wildseg.engine.images.disk_cache import EncodingCache, encoding_key
from napari_wildseg.engine.images.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.images.tower_geometry import Geometry, geometry_of
from napari_wildseg.engine.images.views import View, make_views, merge_views, render
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.relevance import RelevanceMethod, ViewEncoding

_BATCH_PIXELS = {"cpu": 150_000}
"""Views of equal size are encoded together up to this many input pixels, by device type. On a CPU,
larger batches no longer fit into the processor's cache."""

_BATCH_PIXELS_DEFAULT = 1_500_000

_FAINTEST = 1e-9
"""Relevance below this counts as this where scales are multiplied."""


@dataclass
class ImageEncoding:
    """The encodings of one image's views."""

    shape: tuple[int, int]  # ``(H, W)`` of the image
    views: tuple[View, ...]
    encodings: list[ViewEncoding]  # one per view
    method: RelevanceMethod  # the method that made the encodings
    geometry: Geometry  # of the model's image tower
    # Local embeddings computed by `tagging.places`, once they are needed.
    local_embeddings: Tensor | None = field(default=None, repr=False)
    _features: _Features | None = field(default=None, repr=False)

    @property
    def grid(self) -> tuple[int, int]:
        """``(gh, gw)`` of the grid on which views are merged."""
        return grid_of(self.shape, GRID_SIDE)

    def relevance(
        self,
        model: CLIPModel,
        text: Tensor,
        background: Tensor,
        *,
        first_only: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> Tensor:
        """Merge the views' relevance maps.

        Views at one scale are averaged. The scales are then averaged too, or multiplied with
        weights by their resolution (`combine_scales`) if the method has ``multiply_scales``.

        `text`, `background`: ``(K, D)`` and ``(B, D)`` unit rows; returns ``(K, gh, gw)`` float32
        on the CPU, not normalised.
        """
        cells = grid or self.grid
        if first_only:
            return self._merged(model, text, background, self.view_groups()[0], cells)
        if not getattr(self.method, "multiply_scales", False):
            return self._merged(model, text, background, range(len(self.views)), cells)
        groups = self._group_views(lambda view: ())  # by scale, ignoring flips and gamma
        scales = [self._merged(model, text, background, group, cells) for group in groups]
        resolutions = [self.views[group[0]].resolution for group in groups]
        return combine_scales(torch.stack(scales), resolutions)

    def relevance_by_view(
        self, model: CLIPModel, text: Tensor, background: Tensor, grid: tuple[int, int]
    ) -> list[Tensor]:
        """Return the relevance maps of each group of views, to measure how far they agree.

        A group is one view of the whole image, or all crops or windows of one size.

        `text`, `background`: ``(K, D)`` and ``(B, D)`` unit rows; `grid`: ``(gh, gw)``.
        """
        return [self._merged(model, text, background, look, grid) for look in self.view_groups()]

    def _merged(
        self,
        model: CLIPModel,
        text: Tensor,
        background: Tensor,
        chosen: Sequence[int],
        grid: tuple[int, int],
    ) -> Tensor:
        maps = (
            relevance_of(self.method, model, self.encodings[i], text, background) for i in chosen
        )
        return self.merged(maps, grid, chosen).contiguous()

    def features(self) -> Sequence[NDArray[np.float32]]:
        """Return the network's local features at several depths, averaged over the views."""
        if self._features is None:
            self._features = _Features(self)
        return self._features

    def merged(
        self,
        maps: Iterable[Tensor],
        grid: tuple[int, int] | None = None,
        chosen: Sequence[int] | None = None,
    ) -> Tensor:
        """Average one map per view on a grid; see `merge_views`.

        `maps`: ``(C, h, w)`` each, in the order of the views; `chosen`: indices of the views, all
        of them if not given.
        """
        views = self.views if chosen is None else [self.views[i] for i in chosen]
        offset = (self.geometry.offset, self.geometry.offset)
        return merge_views(maps, views, self.shape, grid or self.grid, offset=offset)

    def view_groups(self) -> list[list[int]]:
        """Group the view indices by scale, flip and gamma; the plain view at scale 1 is first."""
        return self._group_views(lambda view: (view.flip, view.gamma))

    def _group_views(self, kind: Callable[[View], tuple[float, ...]]) -> list[list[int]]:
        """Group the view indices by size and by the value of ``kind``."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for i, view in enumerate(self.views):
            size = (view.height, view.width, view.bottom - view.top, view.right - view.left)
            groups.setdefault((*size, *kind(view)), []).append(i)
        return list(groups.values())


class _Features(Sequence[NDArray[np.float32]]):
    """The levels of `ImageEncoding.features`, merged on access; pseudo-labels need none."""

    def __init__(self, encoding: ImageEncoding) -> None:
        self._encoding = encoding
        self._merged: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._encoding.encodings[0].features)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.float32]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return [self[level] for level in chosen]
        if chosen not in self._merged:
            maps = (view.features[chosen] for view in self._encoding.encodings)
            self._merged[chosen] = self._encoding.merged(maps).numpy()
        return self._merged[chosen]


def combine_scales(maps: Tensor, resolutions: Sequence[float]) -> Tensor:
    """Return a weighted geometric mean where all maps are positive, else their mean, at most 0.

    Fine scales decide where things are, coarse ones which class they are: a class's share of the
    strongest class is weighted by the inverse of the resolution, the strongest class by the
    resolution (docs/development/method-trials.md).

    `maps`: ``(n, K, gh, gw)`` float32; `resolutions`: n, network pixels an image pixel; returns
    ``(K, gh, gw)`` float32.

    Maps of small views have larger values and cover larger surroundings, so they dominate an
    arithmetic mean. In a product the units of a scale do not count.
    """
    if len(maps) == 1:
        return maps[0]
    resolution = torch.tensor(resolutions)[:, None, None, None]
    where, which = resolution / resolution.sum(), (1 / resolution) / (1 / resolution).sum()
    positive = maps.clamp(min=0)
    peaks = positive.amax((2, 3), keepdim=True).clamp(min=_FAINTEST)
    strongest = (positive / peaks).amax(1, keepdim=True).clamp(min=_FAINTEST)
    common = (positive.log() * which).sum(0) + (strongest.log() * (where - which)).sum(0)
    return torch.where((positive > 0).all(0), common.exp(), maps.mean(0).clamp(max=0))


def encode_steps(
    rgb: NDArray[np.uint8],
    model: CLIPModel,
    method: RelevanceMethod,
    preset: str,
    cache: EncodingCache | None = None,
) -> Steps[ImageEncoding]:
    """Encode all views of an image; yield after each batch of views. `rgb`: ``(H, W, 3)`` uint8."""
    shape = (rgb.shape[0], rgb.shape[1])
    geometry = geometry_of(model)
    views = make_views(shape, preset, base_side=geometry.base_side, multiple=geometry.multiple)
    key = ""
    if cache is not None:
        key = encoding_key(rgb, model, method, views)
        kept = cache.get(key, model.device)
        if kept is not None:
            yield Progress(len(views), len(views), "The image is known")
            return ImageEncoding(shape, views, kept, method, geometry)
    encodings = yield from _encode_views(rgb, model, method, views)
    if cache is not None:
        cache.put(key, encodings)
    yield Progress(len(views), len(views), "Looked at the image")
    return ImageEncoding(shape, views, encodings, method, geometry)


def _encode_views(
    rgb: NDArray[np.uint8], model: CLIPModel, method: RelevanceMethod, views: tuple[View, ...]
) -> Steps[list[ViewEncoding]]:
    """Encode views in batches; halve the batch when memory runs out."""
    mean = torch.tensor(model.mean)[:, None, None]
    std = torch.tensor(model.std)[:, None, None]
    encodings: list[ViewEncoding] = []
    shown: tuple[View, Tensor] | None = None
    limit = _BATCH_PIXELS.get(model.device.type, _BATCH_PIXELS_DEFAULT)
    for size, group in groupby(views, key=lambda v: (v.height, v.width)):
        pending = list(group)
        while pending:
            number = f"view {len(encodings) + 1} of {len(views)}"
            yield Progress(len(encodings), len(views), f"Looking at the image, {number}")
            count = max(1, limit // (size[0] * size[1]))
            pixels = []
            for view in pending[:count]:
                plain = replace(view, flip=False)
                if shown is None or shown[0] != plain:  # a view and its mirror share one resize
                    shown = plain, (render(rgb, plain) - mean) / std
                pixels.append(shown[1].flip(-1) if view.flip else shown[1])
            batch = torch.stack(pixels)
            try:
                encodings += method.encode(model, batch)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise WildsegError(
                        f"The memory of {model.device} does not suffice to encode a view of "
                        f"{size[0]} x {size[1]} pixels; close what else uses it, choose the views "
                        '"single", or another device.'
                    ) from error
                limit = len(batch) // 2 * size[0] * size[1]
                continue
            pending = pending[count:]
    return encodings


def relevance_of(
    method: RelevanceMethod,
    model: CLIPModel,
    encoding: ViewEncoding,
    text: Tensor,
    background: Tensor,
) -> Tensor:
    """Compute one relevance map per class for a view; see `RelevanceMethod.relevance`."""
    try:
        return method.relevance(model, encoding, text, background)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise WildsegError(
            f"The memory of {model.device} does not suffice for the relevance maps of a view; "
            'close what else uses it, choose the views "single", or another device.'
        ) from error
