"""One image, encoded: every view's forward pass, done once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.images.disk_cache import EncodingCache, encoding_key
from napari_wildseg.engine.images.grid import GRID_SIDE, grid_of
from napari_wildseg.engine.images.tower_geometry import Geometry, geometry_of
from napari_wildseg.engine.images.views import View, make_views, merge, render
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.relevance import RelevanceMethod, ViewEncoding

_BATCH_PIXELS = {"cpu": 150_000}
"""Views of the same size are encoded together up to this many input pixels, by kind of device; on
a CPU, larger batches only leave the cache."""

_BATCH_PIXELS_ELSEWHERE = 1_500_000


@dataclass
class ImageEncoding:
    """What the model saw of one image."""

    shape: tuple[int, int]  # ``(H, W)`` of the image
    views: tuple[View, ...]  # how it was looked at
    encodings: list[ViewEncoding]  # one a view
    method: RelevanceMethod  # what the encodings were made for
    geometry: Geometry  # of the model's image tower
    # What `tagging.places` made of the encodings, once it was asked.
    places: Tensor | None = field(default=None, repr=False)
    _features: _Features | None = field(default=None, repr=False)

    @property
    def grid(self) -> tuple[int, int]:
        """``(gh, gw)``, the cells on which views are merged."""
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

        Views that show the image at one size are averaged. So are the sizes, or, where the method
        says that sizes must agree, they are multiplied (`agreement`).

        `text`, `background`: ``(K, D)`` and ``(B, D)`` unit rows; returns ``(K, gh, gw)`` float32
        on the CPU, not normalised.
        """
        cells = grid or self.grid
        if first_only:
            return self._merged(model, text, background, self._looks()[0], cells)
        if not getattr(self.method, "sizes_must_agree", False):
            return self._merged(model, text, background, range(len(self.views)), cells)
        sizes = [self._merged(model, text, background, size, cells) for size in self._sizes()]
        return agreement(torch.stack(sizes))

    def relevance_by_look(
        self, model: CLIPModel, text: Tensor, background: Tensor, grid: tuple[int, int]
    ) -> list[Tensor]:
        """Relevance maps of each look at the image, to see whether the looks agree.

        A look is a view of the whole image, or all crops or windows of one size.

        `text`, `background`: ``(K, D)`` and ``(B, D)`` unit rows; `grid`: ``(gh, gw)``, cells of
        the maps.
        """
        return [self._merged(model, text, background, look, grid) for look in self._looks()]

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
        views = [self.views[i] for i in chosen]
        return self._merge(maps, views, grid).contiguous()

    def features(self) -> Sequence[NDArray[np.float32]]:
        """Local features of the network, averaged over the views."""
        if self._features is None:
            self._features = _Features(self)
        return self._features

    def merged(self, maps: Iterable[Tensor], grid: tuple[int, int] | None = None) -> Tensor:
        """Average one map a view: `views.merge` with what is known of this image.

        `maps`: ``(C, h, w)`` each, in the order of the views.
        """
        return self._merge(maps, self.views, grid or self.grid)

    def _merge(
        self, maps: Iterable[Tensor], views: Sequence[View], grid: tuple[int, int]
    ) -> Tensor:
        offset = (self.geometry.offset, self.geometry.offset)
        return merge(maps, views, self.shape, grid, offset=offset)

    def _sizes(self) -> list[list[int]]:
        """Indices of the views that show the image at one size, mirrored or not, in any light."""
        return self._alike(lambda view: ())

    def _looks(self) -> list[list[int]]:
        """Indices of the views that show the image in one way, the plain look at scale 1 first."""
        return self._alike(lambda view: (view.flip, view.gamma))

    def _alike(self, kind: Callable[[View], tuple[float, ...]]) -> list[list[int]]:
        """Indices of the views that are of one size and one kind, in the order of the first."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for i, view in enumerate(self.views):
            size = (view.height, view.width, view.bottom - view.top, view.right - view.left)
            groups.setdefault((*size, *kind(view)), []).append(i)
        return list(groups.values())


class _Features(Sequence[NDArray[np.float32]]):
    """The levels of `ImageEncoding.features`; pseudo-labels alone need none of them."""

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


def agreement(maps: Tensor) -> Tensor:
    """Return the geometric mean of maps where all are positive, else the mean of what denies.

    `maps`: ``(n, K, gh, gw)`` float32; returns ``(K, gh, gw)`` float32.

    Notes
    -----
    A small view answers for large surroundings and with larger values than a large view, so a
    mean is mostly its answer. A product gives every size the same say whatever its units are.
    """
    if len(maps) == 1:
        return maps[0]
    common = maps.clamp(min=0).log().mean(0).exp()
    return torch.where(common > 0, common, maps.mean(0).clamp(max=0))


def encode_steps(
    rgb: NDArray[np.uint8],
    model: CLIPModel,
    method: RelevanceMethod,
    preset: str,
    cache: EncodingCache | None = None,
) -> Steps[ImageEncoding]:
    """Encode all views of an image, yielding after each batch of views.

    `rgb`: ``(H, W, 3)`` uint8.
    """
    shape = (rgb.shape[0], rgb.shape[1])
    geometry = geometry_of(model)
    views = make_views(shape, preset, base_side=geometry.base_side, multiple=geometry.multiple)
    key = ""
    if cache is not None:
        key = encoding_key(rgb, model, method, views)
        kept = cache.get(key, model.device)
        if kept is not None:
            yield Progress(len(views), len(views), "Encoded before")
            return ImageEncoding(shape, views, kept, method, geometry)
    encodings = yield from _encode_views(rgb, model, method, views)
    if cache is not None:
        cache.put(key, encodings)
    yield Progress(len(views), len(views), "Encoded")
    return ImageEncoding(shape, views, encodings, method, geometry)


def _encode_views(
    rgb: NDArray[np.uint8], model: CLIPModel, method: RelevanceMethod, views: tuple[View, ...]
) -> Steps[list[ViewEncoding]]:
    """Encode views in batches, smaller ones where memory does not suffice."""
    mean = torch.tensor(model.mean)[:, None, None]
    std = torch.tensor(model.std)[:, None, None]
    encodings: list[ViewEncoding] = []
    shown: tuple[View, Tensor] | None = None
    limit = _BATCH_PIXELS.get(model.device.type, _BATCH_PIXELS_ELSEWHERE)
    for size, group in groupby(views, key=lambda v: (v.height, v.width)):
        waiting = list(group)
        while waiting:
            number = f"view {len(encodings) + 1} of {len(views)}"
            yield Progress(len(encodings), len(views), f"Looking at the image, {number}")
            count = max(1, limit // (size[0] * size[1]))
            pixels = []
            for view in waiting[:count]:
                plain = replace(view, flip=False)
                if shown is None or shown[0] != plain:  # a view and its mirror image: one resize
                    shown = plain, (render(rgb, plain) - mean) / std
                pixels.append(shown[1].flip(-1) if view.flip else shown[1])
            batch = torch.stack(pixels)
            try:
                encodings += method.encode(model, batch)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise WildsegError(
                        f"The memory of {model.device} does not suffice to encode a view of "
                        f"{size[0]} x {size[1]} pixels; close what else uses it, choose the views "
                        '"single", or another device.'
                    ) from error
                limit = len(batch) // 2 * size[0] * size[1]
                continue
            waiting = waiting[count:]
    return encodings


def relevance_of(
    method: RelevanceMethod,
    model: CLIPModel,
    encoding: ViewEncoding,
    text: Tensor,
    background: Tensor,
) -> Tensor:
    """Compute one map a class of a view; see `RelevanceMethod.relevance`."""
    try:
        return method.relevance(model, encoding, text, background)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        raise WildsegError(
            f"The memory of {model.device} does not suffice for the relevance maps of a view; "
            'close what else uses it, choose the views "single", or another device.'
        ) from error


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on any kind of device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "allocate memory" in text or "not enough memory" in text
