"""T2I-Adapter (Mou et al. 2023, arXiv:2302.08453): a small network that sees a picture alone, once a run.

Names are those of the original release; B batch, C channels, H × W pixels
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.unet import Downsample


@dataclass(frozen=True, slots=True)
class T2IAdapterConfig:
    """`channels` are the picture's, `widths` those of the U-Net's levels.

    `xl` halves the picture once more before the first level, and not between the first two (SDXL); `light` adapters
    have narrow blocks, of `inner` channels. `kernel` is that of the blocks' second convolution and projection;
    `convolves` halves by a convolution where others take the mean.
    """

    channels: int = 3
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    xl: bool = False
    inner: tuple[int, ...] = ()
    kernel: int = 1
    convolves: bool = False

    @property
    def side(self) -> int:
        """Pixels of the picture along a side of what the first level sees."""
        return 16 if self.xl else 8

    @property
    def halving(self) -> frozenset[int]:
        """Levels that begin by halving height and width."""
        return frozenset({2} if self.xl else range(1, len(self.widths)))


class AdapterBlock(nn.Module):
    """Two convolutions, added to their input; perhaps halved by a convolution and projected before."""

    def __init__(self, width: int, out: int, kernel: int, *, halves: bool) -> None:
        super().__init__()
        if halves:
            self.down_opt = Downsample(width)
        if width != out:
            self.in_conv = nn.Conv2d(width, out, kernel, padding=kernel // 2)
        self.block1 = nn.Conv2d(out, out, 3, padding=1)
        self.block2 = nn.Conv2d(out, out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down_opt(x) if hasattr(self, "down_opt") else x
        x = self.in_conv(x) if hasattr(self, "in_conv") else x
        return x + self.block2(F.relu(self.block1(x)))


class LightBlock(nn.Module):
    """The two convolutions of light adapters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(width, width, 3, padding=1)
        self.block2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block2(F.relu(self.block1(x)))


class LightLevel(nn.Module):
    """A level of light adapters: narrow between two projections."""

    def __init__(self, width: int, inner: int, out: int, blocks: int) -> None:
        super().__init__()
        self.in_conv = nn.Conv2d(width, inner, 1)
        self.body = nn.Sequential(*(LightBlock(inner) for _ in range(blocks)))
        self.out_conv = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(self.body(self.in_conv(x)))


class T2IAdapter(nn.Module):
    """One feature map for each level of a U-Net."""

    def __init__(self, config: T2IAdapterConfig) -> None:
        super().__init__()
        self.config = config
        pixels = config.channels * config.side**2
        if config.inner:
            before = (pixels, *config.widths)
            self.body = nn.ModuleList(
                LightLevel(before[level], inner, config.widths[level], config.blocks)
                for level, inner in enumerate(config.inner)
            )
            return
        self.conv_in = nn.Conv2d(pixels, config.widths[0], 3, padding=1)
        self.body = nn.ModuleList(
            AdapterBlock(
                config.widths[max(0, level - 1)] if block == 0 else width,
                width,
                config.kernel,
                halves=config.convolves and block == 0 and level in config.halving,
            )
            for level, width in enumerate(config.widths)
            for block in range(config.blocks)
        )

    def forward(self, hint: Tensor) -> list[Tensor]:
        """(B, channels, H, W) in 0..1, sides multiples of `config.side` → (B, widths[i], …, …) for each level."""
        config = self.config
        x = F.pixel_unshuffle(hint, config.side)
        x = x if config.inner else self.conv_in(x)
        per_level = 1 if config.inner else config.blocks
        features: list[Tensor] = []
        for index, block in enumerate(cast("Iterable[nn.Module]", self.body)):
            if not config.convolves and index % per_level == 0 and index // per_level in config.halving:
                x = F.avg_pool2d(x, 2, ceil_mode=True)
            x = block(x)
            if index % per_level == per_level - 1:
                features.append(x)
        return features

    def placed(self, features: list[Tensor]) -> tuple[list[Tensor | None], Tensor | None]:
        """(what is added after each input block of a U-Net, after its middle)."""
        if not self.config.xl:
            return [part for x in features for part in (None, None, x)], None
        first, second, third, last = features
        return [*(None, None, None, first), *(None, second), *(None, None, third)], last
