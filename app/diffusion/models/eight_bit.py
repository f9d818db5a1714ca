"""Layers whose weights are kept in 8 bits and computed in the precision of what they are given.

A weight is q · s with q in float8 and a scale s for each row, so that the largest of a row is the largest that float8
has: float8 alone has few values as small as most weights are. Files bring scales of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.narrow import NarrowWeight

EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)
TINY = 1e-12  # keeps rows of zeros from being divided by zero
SCALED_BY_ROWS = (9, 0)  # the compute capability from which CUDA devices multiply rows with scales of their own
ALIGNED = 16  # 8-bit products want sides that are multiples of it


def packed(value: Tensor, kept: torch.dtype) -> tuple[Tensor, Tensor]:
    """(O, …) → the values over their scale in 8 bits, and the scale (O, 1 …) in float32."""
    rows = value.flatten(1).float()
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=TINY) / torch.finfo(kept).max
    return (rows / scale).to(kept).view(value.shape), scale.view(-1, *(1 for _ in value.shape[1:]))


class EightBit(NarrowWeight):
    """What such layers share; `kept` is what `pack` brings the weight into.

    Until then, and for layers where that would gain nothing, the weight may be in any precision.
    """

    scale: Tensor
    kept: torch.dtype
    narrow_types = EIGHT_BITS

    def wide(self, dtype: torch.dtype) -> Tensor:
        """See `NarrowWeight`."""
        weight = super().wide(dtype)
        return weight * self.scale.to(dtype) if self.is_narrow else weight

    def change(self, changed: Callable[[Tensor], Tensor], *, grows: bool = False) -> None:
        """See `NarrowWeight`. What comes of it is rounded to 8 bits again."""
        self.pack(changed(self.wide(torch.float32)))

    def pack(self, value: Tensor) -> None:
        """Take these values, rounded to 8 bits."""
        self.put(*packed(value.detach(), self.kept))

    def put(self, weight: Tensor, scale: Tensor) -> None:
        """Take a weight in 8 bits and its scale as they are."""
        self.stored.data = weight
        # A twin of the network shares the table of buffers, but not what is in it from now on.
        self.__dict__["_buffers"] = {**self.__dict__["_buffers"], "scale": scale}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        was_packed = self.is_narrow
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        if was_packed and not self.is_narrow:  # somebody wants it in another precision
            self.stored.data = self.stored.data * self.scale.to(self.stored.dtype)
        return self


class EightBitLinear(EightBit, nn.Linear):
    """(…, C) → (…, O). With `fast`, products are of 8-bit numbers, for which what is given is rounded row by row."""

    fast: bool

    def forward(self, input: Tensor) -> Tensor:
        if self.fast and self._suits(input):
            return self.product(input)
        return F.linear(input, self.wide(input.dtype), self.bias)

    def _suits(self, x: Tensor) -> bool:
        fits = not (self.in_features % ALIGNED or self.out_features % ALIGNED)
        fits = fits and x.is_cuda and self.weight.dtype == torch.float8_e4m3fn and x.dtype != torch.float32
        return fits and torch.cuda.get_device_capability(x.device) >= SCALED_BY_ROWS

    def product(self, x: Tensor) -> Tensor:
        """The same with what is given in 8 bits as well: (q_x · q_wᵀ) · s_x · s_wᵀ, in bfloat16."""
        rows = x.flatten(0, -2)
        scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=TINY) / torch.finfo(self.weight.dtype).max
        narrow = (rows.float() / scale).to(self.weight.dtype)
        ours = self.scale.float().reshape(1, -1).expand(1, self.out_features).contiguous()
        multiply: Any = getattr(torch, "_scaled_mm")  # noqa: B009 (PyTorch has no public name for it yet)
        product = multiply(narrow, self.weight.t(), scale_a=scale, scale_b=ours, out_dtype=torch.bfloat16).to(x.dtype)
        bias = cast("Tensor | None", self.bias)
        return (product if bias is None else product + bias).view(*x.shape[:-1], -1)


class EightBitConv2d(EightBit, nn.Conv2d):
    """(B, C, H, W) → (B, O, h, w)."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.wide(input.dtype), self.bias)


def keep_in_eight_bits(network: nn.Module, kept: torch.dtype, *, fast: bool = False) -> None:
    """Put layers that keep their weights in `kept` in place of the network's linear and convolutional ones.

    Their weights are what they were, and wait to be packed.
    """
    for path, layer in list(cast("Iterable[tuple[str, nn.Module]]", network.named_modules())):
        made = _like(layer)
        if made is not None:
            made.__dict__.update({**layer.__dict__, "kept": kept, "fast": fast})
            made.__dict__["_buffers"] = {"scale": torch.ones((), device="cpu")}
            made.__dict__["_non_persistent_buffers_set"] = {"scale"}
            network.set_submodule(path, made)


def _like(layer: nn.Module) -> EightBit | None:
    """A layer of the kind that stands in for this one, still without anything in it; None for others."""
    if isinstance(layer, nn.Linear):
        return EightBitLinear.__new__(EightBitLinear)
    return EightBitConv2d.__new__(EightBitConv2d) if isinstance(layer, nn.Conv2d) else None
