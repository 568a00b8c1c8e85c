"""Linear layers on a CPU with weights stored in oneDNN's memory layout.

PyTorch computes float32 matrix products with MKL, which reorders the weights at each call. oneDNN
with weights reordered once took 12 to 25 % less time on an AMD EPYC with AVX-512, at 197 to 1540
tokens. Sums are accumulated in another order, so results differ in the last digits. PyTorch's
compiler uses the same two operators. They are private: any error they raise, and any other device
or dtype, falls back to the plain product.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

MAX_PACKED_BYTES = 2**29
"""Limit of the reordered copy of a model's weights, in bytes: enough for ViT-B, not for ViT-L."""

MIN_PACKED_ROWS = 64
"""Smallest number of rows for which the packed product is faster."""

_FEW_ROWS = 8
"""Number of rows that the layout of a `PackedMatrix` is chosen for: the classes of an image."""

_ROWS = 256
"""Number of rows that the layout is chosen for; constant, so that the summation order is too."""


class PackedMatrix:
    """A matrix on the CPU for repeated products with few rows.

    With five rows and 1300 columns oneDNN takes a third of MKL's time.

    `matrix`: ``(N, M)`` float32.
    """

    def __init__(self, matrix: Tensor, rows: int = _FEW_ROWS) -> None:
        self._matrix = matrix.detach()
        self._packed: Tensor | None = None
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(self._matrix, rows)
            self._product(matrix.new_zeros(rows, matrix.shape[1]), packed)
        except (RuntimeError, TypeError, AttributeError, NotImplementedError):
            return
        self._packed = packed
        self._matrix = matrix.new_empty(0)  # free the unpacked copy

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply ``(R, M)`` float32 rows by the transposed matrix: ``(R, N)``."""
        if self._packed is None:
            return F.linear(rows, self._matrix)
        return self._product(rows, self._packed)

    @staticmethod
    def _product(rows: Tensor, packed: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], "")  # type: ignore[no-any-return]


class PackedLinears(TorchFunctionMode):
    """Context in which ``linear`` of large float32 arrays on the CPU uses packed weights.

    A weight is packed at its first use; with autograd enabled the plain product is used. The
    weights must not change during the lifetime of this object.
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
        """Free the packed weights."""
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
        if x.device.type != "cpu" or x.dtype != torch.float32 or rows < MIN_PACKED_ROWS:
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
        if self._held + size > MAX_PACKED_BYTES:
            return None
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        # The weight is kept alive as well, so that its id stays unique.
        self._packed[id(weight)] = (weight, packed)
        self._held += size
        return packed
