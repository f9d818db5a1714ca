"""A small first stage that imitates a large one, and one that does nothing.

The small one is TAESD's network (Bohan 2023, github.com/madebyollin/taesd): plain convolutions at a constant width, in
places that its files number. It works on latents in the diffusion model's scale, so it knows that scale.

B images, C latent channels, H × W pixels, h × w latent pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import check_sides

WIDTH = 64
STEEP = 3.0  # latents beyond about this are held back before decoding


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """What callers ask of a first stage: channels of its latents and pixels per latent pixel; it has no codebook."""

    latent_channels: int = 4
    factor: int = 8
    codes: int = 0


class Block(nn.Module):
    """Three convolutions beside the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class HeldBack(nn.Module):
    """Values within ±3, nearly as they are where they are small."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / STEEP) * STEEP


def _conv(channels: int = WIDTH, out: int = WIDTH, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=bias)


def _halving() -> list[nn.Module]:
    return [_conv(stride=2, bias=False), Block(), Block(), Block()]


def _doubling() -> list[nn.Module]:
    return [Block(), Block(), Block(), nn.Upsample(scale_factor=2), _conv(bias=False)]


class TinyAutoencoder(nn.Module):
    """Encodes images in −1..1 to latents of another first stage, and decodes those.

    The model's latents are (z − `vae_shift`) · `vae_scale`.
    """

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.taesd_encoder = nn.Sequential(
            _conv(3), Block(), *_halving(), *_halving(), *_halving(), _conv(WIDTH, channels)
        )
        self.taesd_decoder = nn.Sequential(
            HeldBack(), _conv(channels), nn.ReLU(), *_doubling(), *_doubling(), *_doubling(), Block(), _conv(WIDTH, 3)
        )
        self.vae_scale = nn.Parameter(torch.ones(()))
        self.vae_shift = nn.Parameter(torch.zeros(()))

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in −1..1 → (B, C, h, w). Raises ValueError for a side that is no multiple of the factor."""
        check_sides(image, self.config.factor)
        return self.taesd_encoder(image / 2 + 0.5) / self.vae_scale + self.vae_shift

    def decode(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 3, H, W), about −1..1 and not clamped."""
        return self.taesd_decoder((latent - self.vae_shift) * self.vae_scale) * 2 - 1


class PixelSpace(nn.Module):
    """The first stage of models that work on pixels: latents are images in −1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.config = TinyConfig(latent_channels=3, factor=1)
        self.pixel_space_vae = nn.Parameter(torch.ones(()), requires_grad=False)  # a precision and a place

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) → the same."""
        return image

    def decode(self, latent: Tensor) -> Tensor:
        """(B, 3, H, W) → the same."""
        return latent
