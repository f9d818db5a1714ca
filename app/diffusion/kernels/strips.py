"""Convolutions computed by strips of tiles, so that what lies between the transforms stays in cache."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from app.diffusion.kernels.border import bordered

# Elements of transformed input in one strip: 4 MiB in bfloat16, which second-level and shared caches still hold.
STRIP_ELEMENTS = 1 << 21

# (the strip's padded rows (B, s·h + 2, W + 2, C), where its tiles go (B, h, s, w, s, O))
Strip = Callable[[Tensor, Tensor], None]


def by_strips(x: Tensor, side: int, width_out: int, convolve: Strip) -> Tensor:
    """(B, C, H, W) → (B, O, H, W) in channels-last order, padded by one pixel of zeros.

    Tiles have `side` pixels, which divides H and W, and take (side + 2)² transformed numbers of each channel.
    """
    batch, channels, height, width = x.shape
    padded = bordered(x)
    out = x.new_empty(batch, height // side, side, width // side, side, width_out)
    tiles = batch * (height // side) * (width // side)
    strips = max(1, tiles * channels * (side + 2) ** 2 // STRIP_ELEMENTS)
    rows = -(-height // side // strips)
    for top in range(0, height // side, rows):
        bottom = min(top + rows, height // side)
        convolve(padded[:, side * top : side * bottom + 2], out[:, top:bottom])
    return out.view(batch, height, width, -1).permute(0, 3, 1, 2)
