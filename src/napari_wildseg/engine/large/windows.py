"""Relevance of a large image: views of the whole image for context, windows for small objects.

The whole image is encoded like any image. Windows then cover it at increasing magnification, each
level with half the window side of the one above, down to `layout.window_steps`. All maps are
merged in image coordinates, with overlapping windows blended, and the levels are averaged before
the normalisation. A window is thus compared with the whole image: one that shows only lawn must
not reach full relevance for "cat" somewhere.
"""

import math
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.images.encoding import ImageEncoding, encode_steps, relevance_of
from napari_wildseg.engine.images.tower_geometry import geometry_of
from napari_wildseg.engine.images.views import View, merge_views, render
from napari_wildseg.engine.large.layout import Box, window_steps, windows
from napari_wildseg.engine.large.source import LargeImage, shrink
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.progress import Progress, Steps
from napari_wildseg.engine.relevance import RelevanceMethod, ViewEncoding

_HALF_MAX = 6e4
"""Largest value that is stored in half precision."""


class EncodingStore:
    """A temporary folder with one file per window, deleted with the object.

    Floats are stored in half precision: half the bytes, a relative error of about 0.0005.

    Attributes
    ----------
    folder : Path
        Folder of the files.
    nbytes : int
        Bytes on disk.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wildseg-windows-"))
        self.nbytes = 0
        self._count = 0
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Delete the files now."""
        self._remove()

    def append(self, encoding: ViewEncoding) -> None:
        """Store an encoding."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        kept = {name: _halved(t) for name, t in encoding.named().items()}
        try:
            save_file(kept, self._path(self._count))
        except (SafetensorError, OSError) as error:
            raise WildsegError(
                f"The folder for temporary files is full ({self.folder.parent}): make room there, "
                "or set TMPDIR to a folder on a larger disk."
            ) from error
        self._count += 1
        self.nbytes += sum(t.numel() * t.element_size() for t in kept.values())

    def __getitem__(self, index: int) -> ViewEncoding:
        return self.read(index, ("tensor/", "feature/", "embedding"))

    def features(self, index: int) -> list[Tensor]:
        """Read only the local features of one window."""
        return self.read(index, ("feature/",)).features

    def read(self, index: int, kinds: tuple[str, ...]) -> ViewEncoding:
        """Read the parts of an encoding whose names start with one of ``kinds``."""
        from safetensors import safe_open

        with safe_open(self._path(index), framework="pt") as file:
            found = {n: file.get_tensor(n) for n in sorted(file.keys()) if n.startswith(kinds)}
        named = {name: t.float() if t.is_floating_point() else t for name, t in found.items()}
        return ViewEncoding.from_tensors(named)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.safetensors"


def _halved(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().clone().contiguous()
    fits = tensor.dtype == torch.float32 and float(tensor.abs().amax() if len(tensor) else 0) < (
        _HALF_MAX
    )
    return tensor.half() if fits else tensor


_CELLS = 36
"""Cells along a side of the finest windows, on the grid where the levels are merged."""


@dataclass
class Level:
    """All windows of one size."""

    step: int  # image pixels per pixel of the network's input
    boxes: tuple[Box, ...]  # the windows, in image pixels
    views: tuple[View, ...]  # the same boxes as views, for `views.merge_views`
    store: EncodingStore  # their encodings, in the same order


@dataclass
class LargeEncoding:
    """The encodings of a large image and its windows."""

    shape: tuple[int, int]  # ``(H, W)``
    # The whole image, with the shape of the reduced copy that was encoded.
    overview: ImageEncoding
    levels: list[Level]  # coarsest level first
    reduced: NDArray[np.uint8]  # ``(h, w, 3)`` uint8: the image at the finest level's step

    @property
    def grid(self) -> tuple[int, int]:
        """``(gh, gw)`` of the grid where the levels are merged."""
        cell = self.levels[-1].boxes[0].shape[0] / _CELLS
        return max(2, round(self.shape[0] / cell)), max(2, round(self.shape[1] / cell))

    def relevance_steps(self, model: CLIPModel, text: Tensor, background: Tensor) -> Steps[Tensor]:
        """Average the relevance maps of all levels, without a forward pass.

        Returns ``(K, gh, gw)`` float32, not normalised.
        """
        offset = self.overview.geometry.offset
        maps = [self.overview.relevance(model, text, background, grid=self.grid)]
        for level in self.levels:
            yield Progress(len(maps), len(self.levels) + 1, "Finding the classes")
            maps.append(
                merge_views(
                    (
                        relevance_of(self.overview.method, model, level.store[i], text, background)
                        for i in range(len(level.boxes))
                    ),
                    level.views,
                    self.shape,
                    self.grid,
                    offset=(offset, offset),
                )
            )
        return torch.stack(maps).mean(0)


def encode_large_steps(
    image: LargeImage,
    model: CLIPModel,
    method: RelevanceMethod,
    preset: str,
    detail: int | None = None,
) -> Steps[LargeEncoding]:
    """Encode the whole image and its windows; yield after each."""
    geometry = geometry_of(model)
    side = geometry.base_side
    steps = window_steps(image.shape, side, detail)
    finest = steps[-1]
    reduced = yield from image.reduced_steps(finest)
    small = _shrink_to(reduced, 4 * side)
    overview = yield from encode_steps(small, model, method, preset)
    mean = torch.tensor(model.mean)[:, None, None]
    std = torch.tensor(model.std)[:, None, None]
    plans = [(step, windows(image.shape, side * step)) for step in steps]
    total = sum(len(boxes) for _, boxes in plans)
    done = 0
    levels = []
    for step, boxes in plans:
        views = tuple(_view(box, step, geometry.multiple) for box in boxes)
        level = Level(step, boxes, views, EncodingStore())
        for box, view in zip(boxes, views, strict=True):
            yield Progress(done, total, f"Looking at the image, window {done + 1} of {total}")
            shown = reduced[box.reduced(finest).slices]
            whole = View(0, 0, shown.shape[0], shown.shape[1], view.height, view.width)
            pixels = (render(shown, whole) - mean) / std
            level.store.append(method.encode(model, pixels[None])[0])
            done += 1
        levels.append(level)
    return LargeEncoding(image.shape, overview, levels, reduced)


def _view(box: Box, step: int, multiple: int) -> View:
    height, width = (max(2, round(n / step / multiple)) * multiple for n in box.shape)
    return View(box.top, box.left, box.bottom, box.right, height, width)


def _shrink_to(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Reduce an image so that the geometric mean of its sides is at most ``side``."""
    factor = math.sqrt(picture.shape[0] * picture.shape[1]) / side
    if factor <= 1:
        return picture
    shape = (max(2, round(picture.shape[0] / factor)), max(2, round(picture.shape[1] / factor)))
    return shrink(picture, shape)
