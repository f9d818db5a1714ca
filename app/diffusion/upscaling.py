"""Pictures drawn larger by a network, in tiles where the memory asks for it.

B pictures, H × W pixels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from app.diffusion.models.upscaler import Compact, Esrgan
from app.diffusion.tiles import starts, tiled
from app.errors import OutOfMemory, is_out_of_memory

TILE, OVERLAP = 512, 32  # pixels along a tile's side, and how many of them neighbours share
SMALLEST = 64


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A network and how many times as large it draws; `name` is the file's. Node packs call it on (B, 3, H, W)."""

    model: Esrgan | Compact
    name: str

    @property
    def scale(self) -> int:
        """How many times as large the picture becomes along a side."""
        return self.model.config.scale

    def to(self, device: torch.device) -> Upscaler:
        """Move the weights, as packs do."""
        self.model.to(device)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, scale · H, scale · W)."""
        weight = next(self.model.parameters())
        return self.model(x.to(weight)).float()


def upscaled(upscaler: Upscaler, images: Tensor, told: Callable[[int, int], None] | None = None) -> Tensor:
    """(B, H, W, 3) in 0..1 → (B, scale · H, scale · W, 3); `told(done, total)` hears of each tile.

    Raises:
        OutOfMemory: not even a small tile fits.
    """
    side = TILE
    while True:
        try:
            return _in_tiles(upscaler, images[..., :3], side, told)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            side //= 2
            if side < SMALLEST or not is_out_of_memory(error):
                raise


def _in_tiles(upscaler: Upscaler, images: Tensor, side: int, told: Callable[[int, int], None] | None) -> Tensor:
    height, width = images.shape[1:3]
    device = next(upscaler.model.parameters()).device
    overlap = min(OVERLAP, side // 4)
    per_image = len(list(starts(height, side, overlap))) * len(list(starts(width, side, overlap)))
    done = 0

    def work(part: Tensor) -> Tensor:
        nonlocal done
        larger = upscaler(part.to(device)).cpu()
        done += 1
        if told is not None:
            told(done, per_image * len(images))
        return larger

    larger = [
        tiled(work, image[None].movedim(-1, 1).float(), side, overlap, Fraction(upscaler.scale)) for image in images
    ]
    return torch.cat(larger).movedim(1, -1).clamp(0.0, 1.0)
