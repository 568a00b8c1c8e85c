"""Reading of TorchScript archives without executing anything in them.

OpenAI's checkpoints (``ViT-B-16.pt``) are TorchScript archives: zip files with the network's code,
one record per tensor storage, and ``data.pkl``, a pickle that maps the tensors of each module to
storages. The code is never compiled. The pickle is read by a restricted unpickler that accepts
tensors, lists and modules, and replaces each module by a container of its attributes. The layout
is the same in archives of PyTorch 1.4 (2020) and of current versions.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_NUMBER_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")

_MAX_PICKLE_BYTES = 2**26
"""Size limit of ``data.pkl``, in bytes; that of a ViT-L takes less than a megabyte."""


class NotReadableError(ValueError):
    """The archive is damaged or contains something other than modules and tensors."""


class _Module:
    """A module of the archive: its attributes and the name of its class."""

    kind = ""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise NotReadableError("a module without a dictionary of attributes")
        self.__dict__["attributes"] = state


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, and not a file of `torch.save`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(name.endswith("/constants.pkl") or "/code/" in name for name in names)


def read_torchscript(path: Path) -> tuple[dict[str, Tensor], bool | None]:
    """Read an archive; return its tensors and whether it uses QuickGELU (None if unknown)."""
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Reader(archive)
            root = reader.load()
            kinds = reader.kinds
            code = "" if any("QuickGELU" in kind for kind in kinds) else _code(archive)
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, EOFError) as error:
        raise NotReadableError(str(error)) from error
    except (ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise NotReadableError(f"{type(error).__name__}: {error}") from error
    if not isinstance(root, _Module):
        raise NotReadableError("it holds no module")
    quick: bool | None = None
    if any("QuickGELU" in kind for kind in kinds) or "1.702" in code:
        quick = True
    elif any(kind.endswith(".GELU") for kind in kinds) or "torch.gelu" in code:
        quick = False
    return dict(_tensors(root)), quick


def _code(archive: zipfile.ZipFile) -> str:
    """Return the archive's code as text, at most 16 MB."""
    parts, left = [], 2**24
    for info in archive.infolist():
        if "/code/" in info.filename and info.filename.endswith(".py") and left > 0:
            with archive.open(info) as file:
                parts.append(file.read(left).decode("utf-8", "replace"))
            left -= len(parts[-1])
    return "\n".join(parts)


def _tensors(module: _Module, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    if depth > 64:
        raise NotReadableError("modules within modules without end")
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.", depth + 1)


class _Reader(pickle.Unpickler):
    """Restricted unpickler of ``data.pkl``: tensors, lists and attribute containers only."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        (name,) = [n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1]
        self._archive = archive
        self._root = name.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}
        self.kinds: set[str] = set()
        if archive.getinfo(name).file_size > _MAX_PICKLE_BYTES:
            raise NotReadableError("its list of tensors is too long")
        super().__init__(io.BytesIO(archive.read(name)))

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a global name of the pickle; nothing is imported.

        Functions are bound methods of this reader, since a pickle cannot set their attributes.
        """
        if module.split(".")[0] == "__torch__":
            kind = f"{module}.{name}"
            self.kinds.add(kind)
            return type("Module", (_Module,), {"kind": kind})
        if module == "torch" and name in _NUMBER_TYPES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return self._untagged
        if (module, name) == ("torch", "device"):
            return str
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, identifier: Any) -> Tensor:
        """Return a tensor storage as a flat tensor."""
        _, kind, key, _, count = identifier
        if key not in self._storages:
            number_type = _NUMBER_TYPES[kind]
            info = self._archive.getinfo(f"{self._root}data/{key}")
            size = count * number_type.itemsize
            if info.file_size != info.compress_size or info.file_size < size:
                raise NotReadableError(f"storage {key} has another size than is said")
            data = bytearray(self._archive.read(info))
            self._storages[key] = (
                torch.frombuffer(data, dtype=number_type, count=count)
                if count
                else torch.empty(0, dtype=number_type)
            )
        return self._storages[key]

    def _rebuild(self, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        """Return a strided view of a storage, copied; out-of-range views are refused by torch."""
        if math.prod(size) > storage.numel():
            raise NotReadableError("a tensor is larger than its storage")
        return storage.as_strided(tuple(size), tuple(stride), offset).clone()

    def _untagged(self, value: Any, _tag: Any) -> Any:
        return value
