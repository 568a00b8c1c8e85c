"""Encodings of many windows, stored on disk."""

import shutil
import tempfile
import weakref
from pathlib import Path

import torch
from torch import Tensor

from napari_wildseg.engine.errors import WildsegError
from napari_wildseg.engine.relevance import ViewEncoding

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
        return ViewEncoding.of_named(named)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.safetensors"


def _halved(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().clone().contiguous()
    fits = tensor.dtype == torch.float32 and float(tensor.abs().amax() if len(tensor) else 0) < (
        _HALF_MAX
    )
    return tensor.half() if fits else tensor
