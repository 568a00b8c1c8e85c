"""Size limit of label stacks, checked before pixels are read."""

import math

from napari_wildseg.engine.errors import InputError
from napari_wildseg.engine.pictures.picture_files import check_size

MAX_STACK_BYTES = 2_000_000_000
"""Largest label stack, in bytes, decompressed."""


def check_stack(name: str, shape: tuple[int, ...], itemsize: int = 1) -> None:
    """Raise `InputError` if a plane or a stack is larger than the limits.

    `shape`: ``(..., H, W)``.
    """
    check_size(name, shape[-1], shape[-2])
    total = math.prod(shape) * itemsize
    if len(shape) > 2 and total > MAX_STACK_BYTES:
        raise InputError(
            f"{name} declares {total / 1e9:.1f} GB of labels; at most "
            f"{MAX_STACK_BYTES / 1e9:.0f} GB are taken at once: split the stack."
        )
