"""Cache of encodings in memory and, optionally, on disk.

The key of an entry is a hash of the image's pixels, the model's weights, the relevance method with
its options, and the views. Names, prompts and thresholds do not affect encodings and are not part
of it. Files are safetensors, which cannot contain code. They are written under a temporary name
and renamed. The least recently used files are deleted when the folder is full.
"""

import contextlib
import hashlib
import os
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_wildseg.engine.folders import check_cache_folder
from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.relevance import RelevanceMethod, ViewEncoding

_FORMAT = "3"
"""Version of the file contents; raise it when a method's encoding changes."""


def encoding_key(
    image: NDArray[np.uint8], model: CLIPModel, method: RelevanceMethod, views: object
) -> str:
    """Return the hash of everything that an encoding depends on. `image`: ``(H, W, 3)`` uint8."""
    digest = hashlib.sha256()
    scaling = (model.mean, model.std, model.device.type)
    parts = (_FORMAT, image.shape, model.fingerprint, scaling, repr(method), repr(views))
    digest.update(repr(parts).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


_CHANNELS_LAST = ":channels last"
"""Suffix of the names of arrays that are stored with channels last."""


class EncodingCache:
    """Encodings of images by key; the least recently used are dropped first."""

    def __init__(
        self,
        memory_bytes: int = 256 * 2**20,
        folder: str | os.PathLike[str] | None = None,
        disk_bytes: int = 4 * 2**30,
        evict: bool = True,
    ) -> None:
        self.memory_bytes = memory_bytes
        self.folder = None if folder is None else check_cache_folder(folder)
        self.disk_bytes = disk_bytes
        self.evict = evict
        self._held: OrderedDict[str, tuple[ViewEncoding, ...]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Bytes held in memory."""
        return sum(_size(views) for views in self._held.values())

    def get(self, key: str, device: Any = "cpu") -> list[ViewEncoding] | None:
        """Return the encodings of a key, or None if they are not cached."""
        if key in self._held:
            self._held.move_to_end(key)
            return list(self._held[key])
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            views = _read(path, device)
            os.utime(path)
        except Exception:  # damaged, of another version, or removed by another process
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        self._keep_in_memory(key, views)
        return list(views)

    def put(self, key: str, views: Sequence[ViewEncoding]) -> None:
        """Store the encodings of a key.

        Errors of the disk (full, read-only) are ignored: the encodings then stay in memory only.
        """
        self._keep_in_memory(key, tuple(views))
        path = self._path(key)
        if path is None or _size(views) > self.disk_bytes - self._pinned_bytes():
            return
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(part, views)
            part.replace(path)
            self._evict_oldest()
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    def clear(self) -> None:
        """Delete all entries, in memory and on disk."""
        self._held.clear()
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def _keep_in_memory(self, key: str, views: tuple[ViewEncoding, ...]) -> None:
        self._held.pop(key, None)
        if _size(views) > self.memory_bytes:
            return
        self._held[key] = views
        while self.held_bytes > self.memory_bytes:
            self._held.popitem(last=False)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"

    def _files(self) -> list[Path]:
        """Files on disk, the least recently used first."""
        if self.folder is None or not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.glob("*.safetensors"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def _pinned_bytes(self) -> int:
        """Return the bytes on disk that may not be evicted."""
        return 0 if self.evict else sum(path.stat().st_size for path in self._files())

    def _evict_oldest(self) -> None:
        files = self._files()
        sizes = {path: path.stat().st_size for path in files}
        total = sum(sizes.values())
        for path in files[:-1]:  # keep the newest
            if total <= self.disk_bytes:
                return
            path.unlink()
            total -= sizes[path]


def _size(views: Sequence[ViewEncoding]) -> int:
    return sum(view.nbytes for view in views)


def _write(path: Path, views: Sequence[ViewEncoding]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = [
        (f"{i}/{name}", t) for i, view in enumerate(views) for name, t in view.named().items()
    ]
    # Clones, since safetensors refuses tensors that share memory.
    try:
        save_file(dict(_to_file(name, tensor) for name, tensor in tensors), path)
    except SafetensorError as error:  # a full disk
        raise OSError(str(error)) from error


def _to_file(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Return name and tensor for writing; keep the memory order, which affects later sums."""
    tensor = tensor.detach().cpu()
    if tensor.ndim == 3 and not tensor.is_contiguous():
        by_place = tensor.permute(1, 2, 0)
        if by_place.is_contiguous():
            return name + _CHANNELS_LAST, by_place.clone()
    return name, tensor.clone(memory_format=torch.contiguous_format)


def _from_file(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if name.endswith(_CHANNELS_LAST):
        return name.removesuffix(_CHANNELS_LAST), tensor.permute(2, 0, 1)
    return name, tensor


def _read(path: Path, device: Any) -> tuple[ViewEncoding, ...]:
    from safetensors.torch import load_file

    views: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in (_from_file(*item) for item in load_file(path).items()):
        index, _, name = key.partition("/")
        views[int(index)][name] = tensor.to(device)
    return tuple(ViewEncoding.from_tensors(views[i]) for i in range(len(views)))
