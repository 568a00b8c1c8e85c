"""Disk cache of the text vectors of long vocabularies: 20,000 names take half a minute to encode.

The file name is a hash of the model's weights, its templates and the names. Files are written
under a temporary name and renamed, and read without pickle. Disk errors only cost time.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from napari_wildseg.engine.models.clip_model import CLIPModel
from napari_wildseg.engine.models.weights.download import cache_folder

MIN_CACHED_NAMES = 500
"""Smallest number of names that is cached on disk."""

_MAX_FILES = 12
"""Maximum number of files; the least recently used are deleted. 20,000 names take 20 to 50 MB."""

_FORMAT = "1"


def list_rows(model: CLIPModel, names: Sequence[str]) -> Tensor:
    """Encode a vocabulary, or read its vectors from the cache.

    Returns ``(P, D)`` float32 unit rows on the model's device; do not modify them.
    """
    if len(names) < MIN_CACHED_NAMES or model.has_list(names):
        return model.encode_list(names)
    path = _path(model, names)
    rows = _read(path, len(names))
    if rows is None:
        # Rounded like the file, so that the first run agrees with later ones to the bit.
        rows = model.encode_list(names).half().cpu()
        _write(path, rows)
    model.store_list(names, rows)
    return model.encode_list(names)


def _path(model: CLIPModel, names: Sequence[str]) -> Path:
    signed = repr((_FORMAT, model.fingerprint, model.templates, tuple(names)))
    digest = hashlib.sha256(signed.encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "texts" / f"{digest}.safetensors"


def _read(path: Path, count: int) -> Tensor | None:
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        rows: Tensor = load_file(path)["rows"]
        if rows.ndim != 2 or len(rows) != count or not bool(rows.isfinite().all()):
            raise ValueError("damaged")
        os.utime(path)
    except Exception:  # damaged, or removed by another process
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return rows


def _write(path: Path, rows: Tensor) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"rows": rows.to(torch.float16).contiguous()}, part)
        part.replace(path)
        kept = sorted(path.parent.glob("*.safetensors"), key=lambda p: p.stat().st_mtime_ns)
        for old in kept[:-_MAX_FILES]:
            old.unlink()
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            part.unlink()
