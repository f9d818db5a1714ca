"""How a first stage's latents are scaled for the network that learnt on them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """Channels, pixels per latent pixel, and model = (latent − shift) · scale.

    Latents that travel between nodes are the first stage's own, not scaled.
    """

    channels: int = 4
    factor: int = 8
    scale: float = 0.18215  # Stable Diffusion 1 and 2, from its v1-inference.yaml
    shift: float = 0.0

    def to_model(self, latent: Tensor) -> Tensor:
        """A first stage's latent as the network knows it."""
        return (latent - self.shift) * self.scale

    def from_model(self, latent: Tensor) -> Tensor:
        """The network's latent as the first stage knows it."""
        return latent / self.scale + self.shift
