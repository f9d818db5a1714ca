"""The zeros around a map that a 3 × 3 convolution sees."""

from __future__ import annotations

from torch import Tensor


def bordered(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, H + 2, W + 2, C) with a border of zeros."""
    batch, channels, height, width = x.shape
    padded = x.new_empty(batch, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    for border in (padded[:, 0], padded[:, -1], padded[:, :, 0], padded[:, :, -1]):
        border.zero_()
    return padded
