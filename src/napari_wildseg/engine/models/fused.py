"""Fused convolutions for inference on a CPU.

PyTorch reorders the weights of a convolution at each call, pads asymmetrically by copying the
input, and applies the activation in a separate pass. oneDNN does all three inside the convolution,
through operators that PyTorch's compiler uses. These operators are private. Any error they raise,
and any other device or dtype, falls back to the plain modules. The starter's image tower takes a
sixth less time; its features differ by at most 5e-6 of the largest value.

CPUs with bfloat16 instructions multiply such numbers at twice the speed. `use_bfloat16` enables
them in chosen parts of a network; accumulation and the residual stream stay float32.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_wildseg.engine.errors import out_of_memory

_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.Identity: ("none", []),
}

_BFLOAT16_SETS = ("avx512_bf16", "amx_tile")

MAX_INPUT_SIZES = 6
"""Number of input sizes whose reordered weights are kept: two image shapes at three scales. The
best memory layout depends on the size, and reordering takes longer than it saves."""


MAX_FUSED_BYTES = 2**26
"""Size limit, in bytes of weights, of a network that is fused."""


_lock = threading.Lock()
"""Guards the dictionaries of reordered weights."""


class FusedConv(nn.Module):
    """A convolution and its activation in one operation, for inference.

    Attributes
    ----------
    reduced : bool
        Whether to multiply in bfloat16. A convolution without activation, the last of a block,
        still returns float32, so that the residual sum is not rounded.
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
                if out_of_memory(error):
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
        """Return the weights reordered for an input shape; threads share them."""
        with _lock:
            packed = self._packed.get(shape)
            if packed is not None:
                self._packed.move_to_end(shape)
                return packed
        packed = self._pack(padding, extra, list(shape))
        with _lock:
            self._packed[shape] = packed
            while len(self._packed) > MAX_INPUT_SIZES:
                self._packed.popitem(last=False)
        return packed

    def _padding(self, x: Tensor) -> tuple[list[int], list[int]]:
        """Return the symmetric padding of both axes, and the rows added to the kernel.

        TensorFlow's "same" padding may add one more pixel at the end than at the start. Symmetric
        padding is equivalent if the kernel gets an extra row of zeros at its start.
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
            weight, padding, list(conv.stride), list(conv.dilation), conv.groups, shape
        )
        return packed


def fuse(network: nn.Module) -> None:
    """Replace each convolution of a network, with the activation after it, by a `FusedConv`.

    Networks that are large or have batch norms in between are left unchanged: they gain little,
    and the weights would be stored once per input size.
    """
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return
    if sum(p.numel() * p.element_size() for p in network.parameters()) > MAX_FUSED_BYTES:
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
    """Whether the CPU has instructions for bfloat16 products."""
    asked = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in _BFLOAT16_SETS)
    return any(ask is not None and ask() for ask in asked)


def use_bfloat16(network: nn.Module, parts: Sequence[str]) -> None:
    """Let the fused convolutions in the named parts of a network multiply in bfloat16."""
    for name, module in network.named_modules():
        inside = any(name == part or name.startswith(f"{part}.") for part in parts)
        if inside and isinstance(module, FusedConv):
            module.reduced = True
