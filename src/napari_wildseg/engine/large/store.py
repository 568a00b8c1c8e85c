"""Encodings of many windows, kept on disk: names change often, the image does not."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

import torch
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.relevance import ViewEncoding

_HALF_MAX = 6e4
"""Values up to this fit half precision."""


class EncodingStore:
    """A temporary folder with one file a window, removed when the store is no longer used.

    Numbers are kept in half precision: half the bytes, and an error of a two-thousandth.

    Attributes
    ----------
    folder : Path
        Where the files are.
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
        """Remove the files now."""
        self._remove()

    def append(self, encoding: ViewEncoding) -> None:
        """Keep one more encoding."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {f"tensor/{name}": t for name, t in encoding.tensors.items()}
        tensors |= {f"feature/{i:03d}": t for i, t in enumerate(encoding.features)}
        tensors["embedding"] = encoding.embedding
        kept = {name: _halved(t) for name, t in tensors.items()}
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
        """Read the local features of one window alone."""
        return self.read(index, ("feature/",)).features

    def read(self, index: int, kinds: tuple[str, ...]) -> ViewEncoding:
        """Read part of an encoding."""
        from safetensors import safe_open

        encoding = ViewEncoding({}, [], torch.zeros(0))
        with safe_open(self._path(index), framework="pt") as file:
            for name in sorted(file.keys()):
                if not name.startswith(kinds):
                    continue
                tensor = file.get_tensor(name)
                tensor = tensor.float() if tensor.is_floating_point() else tensor
                if name.startswith("tensor/"):
                    encoding.tensors[name.removeprefix("tensor/")] = tensor
                elif name.startswith("feature/"):
                    encoding.features.append(tensor)
                else:
                    encoding.embedding = tensor
        return encoding

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.safetensors"


def _halved(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().clone().contiguous()
    fits = tensor.dtype == torch.float32 and float(tensor.abs().amax() if len(tensor) else 0) < (
        _HALF_MAX
    )
    return tensor.half() if fits else tensor
