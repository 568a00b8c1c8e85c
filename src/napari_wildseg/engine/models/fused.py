"""Convolutions on a CPU with what follows them: weights laid out once, activation in one pass.

PyTorch lays the weights of a convolution out anew at each call, pads on one side by copying the
whole input, and clamps in a pass of its own. oneDNN does all three within the convolution, by the
operators that PyTorch's compiler uses. They are no public interface, so anything unexpected of
them, and any other device or number type, falls back to the plain modules. The starter's image
tower takes a sixth less time; its features differ by 5e-6 of the largest.

A processor that multiplies bfloat16 numbers does so at twice the speed. `use_bfloat16` has it do
that in chosen parts of a network; sums, and what goes round a block, stay float32.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Identity: ("none", []),
}

_BFLOAT16_SETS = ("avx512_bf16", "amx_tile")

MOST_SIZES = 6
"""Input sizes whose weights are kept, those used last: two shapes of image, three scales each. The
best layout differs from size to size, and laying out anew costs more than is won."""


MOST_BYTES = 2**26
"""Weights of a network that is fused."""


_lock = threading.Lock()
"""Held while the weights that are kept are looked through or changed."""


class FusedConv(nn.Module):
    """A convolution and its activation as one step, for inference.

    Attributes
    ----------
    reduced : bool
        Multiply in bfloat16. Results of a convolution without activation, the last of a block,
        are float32 all the same, so that blocks add up without rounding.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.activation = activation
        self.reduced = False
        self._packed: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._works = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
            torch.ops.mkldnn, "_convolution_pointwise"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and activate ``(B, C, h, w)``."""
        number_type = self.conv.weight.dtype
        known = (torch.float32, torch.bfloat16) if self.reduced else (torch.float32,)
        plain = x.device.type == "cpu" and number_type == torch.float32 and x.dtype in known
        if self._works and plain and not torch.is_grad_enabled():
            try:
                return self._fused(x)
            except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
                if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
                    raise
                self._works = False
                self._packed.clear()
        out: Tensor = self.activation(self.conv(x.to(number_type) if self.reduced else x))
        return out

    def _fused(self, x: Tensor) -> Tensor:
        conv = self.conv
        padding, extra = self._padding(x)
        bias = conv.bias
        if self.reduced:
            x, bias = x.bfloat16(), None if bias is None else bias.bfloat16()
        packed = self._packed_for(tuple(x.shape), padding, extra)
        name, scalars = _ACTIVATIONS[type(self.activation)]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            packed,
            bias,
            padding,
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
            name,
            scalars,
            "",
        )
        return out.float() if name == "none" else out

    def _packed_for(self, shape: tuple[int, ...], padding: list[int], extra: list[int]) -> Tensor:
        """Return the weights laid out for a shape; the lanes of a batch share them."""
        with _lock:
            packed = self._packed.get(shape)
            if packed is not None:
                self._packed.move_to_end(shape)
                return packed
        packed = self._pack(padding, extra, list(shape))
        with _lock:
            self._packed[shape] = packed
            while len(self._packed) > MOST_SIZES:
                self._packed.popitem(last=False)
        return packed

    def _padding(self, x: Tensor) -> tuple[list[int], list[int]]:
        """Return the padding of both axes, the same on both sides, and how much the kernel grows.

        TensorFlow may pad one more at the end than at the beginning. One more at both ends comes
        to the same if the kernel has a row more at its beginning, of noughts.
        """
        conv = self.conv
        if type(conv) is nn.Conv2d:
            assert not isinstance(conv.padding, str)
            return list(conv.padding), [0, 0]
        padding, extra = [], []
        for axis in (0, 1):
            size, stride = x.shape[2 + axis], conv.stride[axis]
            reach = (conv.kernel_size[axis] - 1) * conv.dilation[axis] + 1
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            if total % 2 and conv.dilation[axis] != 1:
                raise NotImplementedError("a dilated kernel cannot grow by one")
            padding.append(total - total // 2)
            extra.append(total % 2)
        return padding, extra

    def _pack(self, padding: list[int], extra: list[int], shape: list[int]) -> Tensor:
        conv = self.conv
        weight = conv.weight.detach()
        if any(extra):
            weight = F.pad(weight, (extra[1], 0, extra[0], 0))
        if self.reduced:
            weight = weight.bfloat16()
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight,
            padding,
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
            shape,
        )
        return packed


def fuse(network: nn.Module) -> None:
    """Replace each convolution of a network, with the activation after it, by a `FusedConv`.

    Large networks, and those with batch norms between the two, are left alone: there is little to
    be won, and the weights would be kept once more for each size of input.
    """
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return
    if sum(p.numel() * p.element_size() for p in network.parameters()) > MOST_BYTES:
        return
    kinds = {nn.Conv2d}
    try:
        from timm.layers.conv2d_same import Conv2dSame
    except ImportError:
        pass
    else:
        kinds.add(Conv2dSame)
    for parent in list(network.modules()):
        children = [*parent.named_children(), ("", nn.Identity())]
        for (first, conv), (second, activation) in pairwise(children):
            if not isinstance(conv, nn.Conv2d) or type(conv) not in kinds:
                continue
            if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
                continue
            if second and type(activation) in _ACTIVATIONS:
                setattr(parent, first, FusedConv(conv, activation))
                setattr(parent, second, nn.Identity())
            else:
                setattr(parent, first, FusedConv(conv, nn.Identity()))


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16 numbers."""
    asked = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in _BFLOAT16_SETS)
    return any(ask is not None and ask() for ask in asked)


def use_bfloat16(network: nn.Module, parts: Sequence[str]) -> None:
    """Have the fused convolutions in some parts of a network multiply in bfloat16."""
    for name, module in network.named_modules():
        inside = any(name == part or name.startswith(f"{part}.") for part in parts)
        if inside and isinstance(module, FusedConv):
            module.reduced = True
