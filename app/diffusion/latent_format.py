"""How a first stage's latents are scaled for the network that learnt on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PerChannel = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """Channels, pixels per latent pixel, and model = (latent − shift) · scale, each one number or one per channel.

    Latents that travel between nodes are the first stage's own, not scaled.
    """

    channels: int = 4
    factor: int = 8
    scale: PerChannel = 0.18215  # Stable Diffusion 1 and 2, from its v1-inference.yaml
    shift: PerChannel = 0.0

    def to_model(self, latent: Tensor) -> Tensor:
        """A first stage's latent as the network knows it."""
        return (latent - _spread(self.shift, latent)) * _spread(self.scale, latent)

    def from_model(self, latent: Tensor) -> Tensor:
        """The network's latent as the first stage knows it."""
        return latent / _spread(self.scale, latent) + _spread(self.shift, latent)


def _spread(value: PerChannel, latent: Tensor) -> float | Tensor:
    """One number as it is; one per channel so that it multiplies (B, C, …)."""
    if not isinstance(value, tuple):
        return value
    return torch.tensor(value, device=latent.device, dtype=latent.dtype).view(-1, *(1 for _ in latent.shape[2:]))


SD = LatentFormat()
SDXL_LATENT = LatentFormat(4, 8, 0.13025)  # sd_xl_base.yaml
