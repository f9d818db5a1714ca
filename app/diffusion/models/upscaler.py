"""Networks that draw a picture larger: ESRGAN (Wang et al. 2018, arXiv:1809.00219) and the compact one of Real-ESRGAN
(Wang et al. 2021, arXiv:2107.10833), with the names of the latter's release.

B pictures, C channels, H × W pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the activation below zero
SHARE = 0.2  # of what a block adds


@dataclass(frozen=True, slots=True)
class EsrganConfig:
    """`blocks` of `width` channels, that grow by `growth`; `doublings` at the end, after the picture was folded.

    `fold` pixels along a side become channels of one before the first layer.
    """

    width: int = 64
    blocks: int = 23
    growth: int = 32
    doublings: int = 2
    fold: int = 1

    @property
    def scale(self) -> int:
        """How many times as large the picture becomes along a side."""
        return 2**self.doublings // self.fold


@dataclass(frozen=True, slots=True)
class CompactConfig:
    """`layers` convolutions of `width` channels between the first and the last."""

    width: int = 64
    layers: int = 16
    scale: int = 4


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, F.leaky_relu(layer(seen), SLOPE)], dim=1)
        return x + SHARE * self.conv5(seen)


class ResidualDenseBlock(nn.Module):
    """Three dense blocks, added to their input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(width, growth)
        self.rdb2 = DenseBlock(width, growth)
        self.rdb3 = DenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        return x + SHARE * self.rdb3(self.rdb2(self.rdb1(x)))


class Esrgan(nn.Module):
    """(B, 3, H, W) in 0..1 → (B, 3, scale · H, scale · W)."""

    def __init__(self, config: EsrganConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv_first = nn.Conv2d(3 * config.fold**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualDenseBlock(width, config.growth) for _ in range(config.blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(1, config.doublings + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        fold, scale = self.config.fold, self.config.scale
        if fold > 1:
            x = F.pixel_unshuffle(F.pad(x, (0, -width % fold, 0, -height % fold), mode="replicate"), fold)
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for number in range(1, self.config.doublings + 1):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.leaky_relu(self.get_submodule(f"conv_up{number}")(x), SLOPE)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE))
        return x[..., : height * scale, : width * scale]


class Compact(nn.Module):
    """(B, 3, H, W) in 0..1 → (B, 3, scale · H, scale · W): what is added to the picture's own pixels, repeated."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(config.layers):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * config.scale**2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.config.scale
        return F.pixel_shuffle(self.body(x), scale) + F.interpolate(x, scale_factor=scale, mode="nearest")
