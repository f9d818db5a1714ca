"""The layers of maps that nearly all of a U-Net's and a first stage's work is in: convolutions and their norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels import doubling, packed, winograd, winograd_four
from app.diffusion.kernels.matrices import Matrices
from app.diffusion.models.linear import packed_bytes, reads_packed
from app.diffusion.models.second_form import SecondForm

# Narrower layers spend more time in the transforms than they save in products (measured on AVX-512, 128: 1.0 ×).
NARROWEST = 256
# Pixels of a map, and weights in float32, from which on and up to which larger tiles are worth their bytes.
PIXELS_WORTH_FOUR = 1024
MOST_WEIGHTS_IN_FOUR = 12 << 20
# Channels-last normalisation of a few narrow maps costs ten times what it does in PyTorch's own order (measured).
NARROWEST_CHANNELS_LAST = 128
# Channels a group and pixels up to which PyTorch normalises channels-last maps one number at a time.
NARROWEST_GROUP = 8
FEW_PIXELS = 1024


def ordered(x: Tensor, width: int) -> Tensor:
    """(B, C, H, W) in the order in which a network whose narrowest layers have `width` channels is fastest."""
    return x.contiguous(memory_format=torch.channels_last) if width >= NARROWEST_CHANNELS_LAST else x.contiguous()


class Conv3x3(SecondForm, nn.Conv2d):
    """(B, C, H, W) → (B, O, H/stride, W/stride), padded by one pixel of zeros.

    The second form of its kernels is transformed for wide layers (0.6 of the time and 16/9 of the bytes, for large maps
    in float32 0.4 and 4 times; see `kernels.winograd` and `winograd_four`, and `kernels.doubling` after an enlargement)
    and packed for the others (0.5 of the time for small maps, the same bytes; `kernels.packed`).
    """

    def __init__(self, width: int, out: int, stride: int = 1) -> None:
        super().__init__(width, out, 3, stride, padding=1)  # pyright: ignore[reportUnknownMemberType]

    @property
    def second_form_bytes(self) -> int:
        """What the second form takes; 0 where it would not be used."""
        if self.weight.device.type not in ("cpu", "meta"):
            return 0
        if self._is_wide():
            return self.weight.nbytes * (36 if self._is_exact_in_four() else 16) // 9
        return self.weight.nbytes if packed.is_available() else 0

    def forward(self, input: Tensor) -> Tensor:
        return self.shifted(input)

    def shifted(self, input: Tensor, by: Tensor | None = None) -> Tensor:
        """What `forward` makes of the input, every pixel shifted `by` (O,) as it is by the bias."""
        bias = self.bias if by is None or self.bias is None else self.bias + by
        if not self._is_quick(input):
            return self._conv_forward(input, self.weight, bias)
        if not self._is_wide():
            return packed.convolve(input, self._packed(input.shape), bias, self.stride[0])
        for kernel, side in ((winograd_four, 4), (winograd, 2)):
            if self._suits(input, side):
                return kernel.convolve(input, self._transformed(kernel.transform_weight, side), bias)
        return self._conv_forward(input, self.weight, bias)

    def added(self, input: Tensor, to: Tensor) -> Tensor:
        """What the layer makes of the input, added to what there is: (B, C, H, W), (B, O, H, W) → (B, O, H, W)."""
        if self._is_wide() or not self._is_quick(input):
            return super().added(input, to)
        return packed.convolve(input, self._packed(input.shape), self.bias, self.stride[0], to=to)

    def doubled(self, x: Tensor) -> Tensor:
        """What `forward` makes of the map with its pixels doubled: (B, C, H, W) → (B, O, 2·H, 2·W)."""
        if not self._is_quick(x) or not self._is_wide():
            return self(_enlarged(x))
        weight = self.second_form("doubled", (self.weight,), lambda: doubling.transform_weight(self.weight))
        return doubling.convolve(x, weight, self.bias)

    def _is_quick(self, x: Tensor) -> bool:
        # A pack may let a convolution pad in its own way, so that pictures can be tiled.
        plain = self.padding_mode == "zeros" and "_conv_forward" not in self.__dict__
        return plain and self.reads(x) and x.dtype in packed.DTYPES

    def _is_wide(self) -> bool:
        return self.stride == (1, 1) and min(self.in_channels, self.out_channels) >= NARROWEST

    def _suits(self, x: Tensor, side: int) -> bool:
        """Whether the map is made of tiles of that side, and there are enough of them."""
        whole = x.shape[2] % side == 0 and x.shape[3] % side == 0
        return whole and (side < 4 or (self._is_exact_in_four() and x.shape[2:].numel() >= PIXELS_WORTH_FOUR))

    def _is_exact_in_four(self) -> bool:
        return self.weight.dtype == torch.float32 and self.weight.numel() <= MOST_WEIGHTS_IN_FOUR

    def _transformed(self, transform: Callable[[Tensor], Matrices], side: int) -> Matrices:
        return self.second_form("transformed", (self.weight,), lambda: transform(self.weight), of=side)

    def _packed(self, size: torch.Size) -> Tensor:
        return self.second_form("packed", (self.weight,), lambda: packed.pack(self.weight, self.stride[0], size))


def doubled(layer: nn.Module, x: Tensor) -> Tensor:
    """What the layer, which may be one that is kept in 8 bits, makes of the map with its pixels doubled."""
    return layer.doubled(x) if isinstance(layer, Conv3x3) else layer(_enlarged(x))


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Conv1x1(SecondForm, nn.Conv2d):
    """(B, C, H, W) → (B, O, H, W), a linear layer on each pixel; in channels-last order it is computed as one."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 1)  # pyright: ignore[reportUnknownMemberType]

    @property
    def second_form_bytes(self) -> int:
        """What the second form takes; 0 where it would not be used."""
        return packed_bytes(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        is_packed = reads_packed(self, input, self.weight)
        if not is_packed and not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        pixels = _channels_last(input)
        if is_packed:
            return packed.multiply(pixels, self._packed(), self.bias).permute(0, 3, 1, 2)
        return F.linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)

    def added(self, input: Tensor, to: Tensor) -> Tensor:
        """What the layer makes of the input, added to what there is: (B, C, H, W), (B, O, H, W) → (B, O, H, W)."""
        if not reads_packed(self, input, self.weight):
            return super().added(input, to)
        pixels, there = _channels_last(input), _channels_last(to)
        return packed.multiply(pixels, self._packed(), self.bias, to=there).permute(0, 3, 1, 2)

    def _packed(self) -> Tensor:
        return self.second_form("packed", (self.weight,), lambda: packed.pack_rows(self.weight.flatten(1)))


def _channels_last(x: Tensor) -> Tensor:  # (B, C, H, W) → (B, H, W, C)
    return x.permute(0, 2, 3, 1)


class GroupNorm(nn.GroupNorm):
    """Normalises groups of channels; small narrow maps in PyTorch's own order, where it takes a fifth of the time."""

    def forward(self, input: Tensor) -> Tensor:
        narrow = self.num_channels // self.num_groups <= NARROWEST_GROUP
        if narrow and input.device.type == "cpu" and input.shape[2:].numel() < FEW_PIXELS:
            input = input.contiguous()
        return super().forward(input)
