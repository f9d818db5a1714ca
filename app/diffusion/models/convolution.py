"""The 3 × 3 convolution that nearly all of a U-Net's and a first stage's work is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels import winograd

# Narrower layers spend more time in the transforms than they save in products (measured on AVX-512, 128: 1.0 ×).
NARROWEST = 256
# Channels-last normalisation of a few narrow maps costs ten times what it does in PyTorch's own order (measured).
NARROWEST_CHANNELS_LAST = 128
QUICK_DTYPES = (torch.float32, torch.bfloat16)


def ordered(x: Tensor, width: int) -> Tensor:
    """(B, C, H, W) in the order in which a network whose narrowest layers have `width` channels is fastest."""
    return x.contiguous(memory_format=torch.channels_last) if width >= NARROWEST_CHANNELS_LAST else x.contiguous()


class Conv3x3(nn.Conv2d):
    """(B, C, H, W) → (B, O, H, W), padded by one pixel of zeros.

    `quick` lets it keep its kernels in a second, transformed form, 16/9 of their bytes, with which a CPU needs about
    0.6 of the time (see `kernels.winograd`). It is used where no gradient is asked for, and made at the first use.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 3, padding=1)  # pyright: ignore[reportUnknownMemberType]
        self.quick = False
        self._transformed: tuple[tuple[int, int], Tensor] | None = None

    @property
    def transformed_bytes(self) -> int:
        """What the transformed kernels take; 0 where they would not be used."""
        wide = min(self.in_channels, self.out_channels) >= NARROWEST
        return self.weight.nbytes * 16 // 9 if wide and self.weight.device.type == "cpu" else 0

    def forward(self, input: Tensor) -> Tensor:
        if self.quick and self._suits(input):
            return winograd.convolve(input, self._kernels(), self.bias)
        return super().forward(input)

    def _suits(self, x: Tensor) -> bool:
        even = x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
        return even and x.device.type == "cpu" and x.dtype in QUICK_DTYPES and not torch.is_grad_enabled()

    def _kernels(self) -> Tensor:
        # Patched weights are transformed anew. Weights that were born in inference mode have no count of their changes.
        changes = 0 if self.weight.is_inference() else self.weight._version  # pyright: ignore[reportPrivateUsage]
        version = (self.weight.data_ptr(), changes)
        if self._transformed is None or self._transformed[0] != version:
            self._transformed = (version, winograd.transform_weight(self.weight))
        return self._transformed[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._transformed = None
        return super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_transformed": None}


class Conv1x1(nn.Conv2d):
    """(B, C, H, W) → (B, O, H, W), a linear layer on each pixel; in channels-last order it is computed as one."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out, 1)  # pyright: ignore[reportUnknownMemberType]

    def forward(self, input: Tensor) -> Tensor:
        if not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        return F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
