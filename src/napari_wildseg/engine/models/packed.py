"""Linear layers on a CPU, their weights kept in the order in which oneDNN reads them.

PyTorch hands float32 matrix products to MKL, which lays the weights out anew at each call and is
not at its best on every CPU. oneDNN with weights that were laid out once took 12 to 25 % less
time on an AMD EPYC with AVX-512, at 197 to 1540 tokens; sums are taken in another order, so
results differ in the last digits. PyTorch's compiler uses the same two operators; they are no
public interface, so anything unexpected of them, and any other device or number type, falls back
to the usual product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

MOST_BYTES = 2**29
"""Weights of a model that are kept a second time, at most: enough for a ViT-B, not for a ViT-L."""

FEWEST_ROWS = 64
"""Products of fewer rows are not worth it."""

_FEW = 8
"""Rows that the layout of a `PackedMatrix` is chosen for: the classes of an image, say."""

_ROWS = 256
"""Rows that the layout is chosen for; the same always, so that sums are taken in one order."""


class PackedMatrix:
    """A matrix on the CPU that few rows are multiplied by, again and again.

    With five rows and 1300 columns oneDNN takes a third of the time that MKL takes.

    `matrix`: ``(N, M)`` float32.
    """

    def __init__(self, matrix: Tensor, rows: int = _FEW) -> None:
        self._matrix = matrix.detach()
        self._packed: Tensor | None = None
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(self._matrix, rows)
            self._product(matrix.new_zeros(rows, matrix.shape[1]), packed)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError):
            return
        self._packed = packed
        self._matrix = matrix.new_empty(0)  # not held twice

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply ``(R, M)`` float32 rows by the transposed matrix: ``(R, N)``."""
        if self._packed is None:
            return F.linear(rows, self._matrix)
        return self._product(rows, self._packed)

    @staticmethod
    def _product(rows: Tensor, packed: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")  # type: ignore[no-any-return]


class PackedLinears(TorchFunctionMode):
    """While this is active, ``linear`` of large float32 arrays on the CPU uses packed weights.

    A weight is packed when it is met first; autograd needs the usual product and gets it. The
    weights must not change as long as this lives.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packed: dict[int, tuple[Tensor, Tensor]] = {}
        self._held = 0
        self._works = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
            torch.ops.mkldnn, "_linear_pointwise"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the packed weights."""
        return self._held

    def clear(self) -> None:
        """Give the packed weights back."""
        self._packed.clear()
        self._held = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs and self._works and not torch.is_grad_enabled():
            out = self._linear(*args)
            if out is not None:
                return out
        return func(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
        rows = x.numel() // max(1, x.shape[-1])
        if x.device.type != "cpu" or x.dtype != torch.float32 or rows < FEWEST_ROWS:
            return None
        if weight.dtype != torch.float32:
            return None
        try:
            packed = self._pack(weight)
            if packed is None:
                return None
            return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")  # type: ignore[no-any-return]
        except (RuntimeError, TypeError, AttributeError, NotImplementedError):
            self._works = False
            self.clear()
            return None

    def _pack(self, weight: Tensor) -> Tensor | None:
        found = self._packed.get(id(weight))
        if found is not None:
            return found[1]
        size = weight.numel() * weight.element_size()
        if self._held + size > MOST_BYTES:
            return None
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        # The weight itself is held too: its id names it only as long as it lives.
        self._packed[id(weight)] = (weight, packed)
        self._held += size
        return packed
