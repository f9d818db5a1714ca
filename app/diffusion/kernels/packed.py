"""Convolutions and products with weights that are kept in the order in which oneDNN multiplies them.

PyTorch puts them in that order at every call, which for small maps takes as long as the convolution itself. The
functions used here are those that PyTorch's own compiler calls; where they are missing nothing is packed.

B batch, C channels in, O channels out, H × W pixels
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

PADDING = DILATION = (1, 1)
# What the functions here take; bfloat16 comes where a processor multiplies in it (see `weights.precision`).
DTYPES = (torch.float32, torch.bfloat16)
# Elements of a float32 matrix below which PyTorch's own product takes less time: its calls cost less.
MANY_WEIGHTS = 1 << 16


def is_available() -> bool:
    """Whether this PyTorch has oneDNN and the functions for it."""
    operations = torch.ops.mkldnn
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(_native(), "mkldnn_reorder_conv2d_weight")
        and all(hasattr(operations, name) for name in ("_convolution_pointwise", "_linear_pointwise"))
    )


def is_worth(weight: Tensor) -> bool:
    """Whether products with the matrix take less time when it is packed."""
    return weight.dtype == torch.bfloat16 or (weight.dtype == torch.float32 and weight.numel() >= MANY_WEIGHTS)


def pack(weight: Tensor, stride: int, size: torch.Size) -> Tensor:
    """(O, C, 3, 3) → the same kernels in oneDNN's order, the best one for inputs of that size (B, C, H, W)."""
    whole = weight.detach().to_mkldnn()
    return _native().mkldnn_reorder_conv2d_weight(whole, PADDING, (stride, stride), DILATION, 1, tuple(size))


def _native() -> Any:
    library: Any = torch._C  # pyright: ignore[reportPrivateUsage]
    return library._nn


def convolve(x: Tensor, packed: Tensor, bias: Tensor | None, stride: int, *, to: Tensor | None = None) -> Tensor:
    """(B, C, H, W) → (B, O, H/stride, W/stride) in channels-last order, padded by one pixel of zeros.

    What comes of it is added to what there is, if that is given.
    """
    operation: Any = torch.ops.mkldnn._convolution_pointwise
    sides = PADDING, (stride, stride), DILATION, 1
    if to is not None:
        return operation.binary(x, to, packed, bias, *sides, "add", None, None, [], None)
    return operation(x, packed, bias, *sides, "none", [], "")


def pack_rows(weight: Tensor) -> Tensor:
    """(O, C) → the same in oneDNN's order."""
    reorder = cast("Callable[..., Tensor]", torch.ops.mkldnn._reorder_linear_weight)
    return reorder(weight.detach())


def multiply(
    x: Tensor, packed: Tensor, bias: Tensor | None = None, *, gelu: bool = False, to: Tensor | None = None
) -> Tensor:
    """x·Wᵀ + b, its GELU if that is asked for, or what comes of it added to what there is: (…, C) → (…, O)."""
    if to is not None:
        return _together(x, packed, bias, to, "add")
    product = cast("Callable[..., Tensor]", torch.ops.mkldnn._linear_pointwise)
    return product(x, packed, bias, "gelu" if gelu else "none", [], "none" if gelu else "")


def multiply_and_gate(x: Tensor, packed: Tensor, bias: Tensor | None, gate: Tensor) -> Tensor:
    """(x·Wᵀ + b) times the gate: (…, C), (…, O) → (…, O)."""
    return _together(x, packed, bias, gate, "mul")


def _together(x: Tensor, packed: Tensor, bias: Tensor | None, other: Tensor, how: str) -> Tensor:
    product = cast("Callable[..., Tensor]", torch.ops.mkldnn._linear_pointwise.binary)
    return product(x, other, packed, bias, how)
