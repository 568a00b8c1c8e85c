"""How large a stack of labels may be, checked before anything is read."""

from __future__ import annotations

import math

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_size

MAX_BYTES = 2_000_000_000
"""The largest stack taken, in bytes as it is stored, unpacked."""


def check_stack(name: str, shape: tuple[int, ...], itemsize: int = 1) -> None:
    """Raise `InputError` if planes or a whole stack declare more than is taken.

    `shape`: ``(H, W)`` or with axes before them.
    """
    check_size(name, shape[-1], shape[-2])
    total = math.prod(shape) * itemsize
    if len(shape) > 2 and total > MAX_BYTES:
        raise InputError(
            f"{name} declares {total / 1e9:.1f} GB of labels; at most {MAX_BYTES / 1e9:.0f} GB are "
            "taken at once: split the stack."
        )
