"""The first stage with a codebook (van den Oord et al. 2017; Esser et al. 2021; arXiv:2112.10752, appendix E.1).

Module names are those of the CompVis checkpoints. Diffusion runs on latents before quantisation; decoding quantises.
B batch, C channels, H × W pixels, h × w latent pixels, Z codes
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.diffusion.models.autoencoder_kl import AutoencoderConfig, Decoder, Encoder, check_sides

CHUNK = 1 << 24  # distances that are held at once; a codebook of 16,384 would need gigabytes for a large picture


class Codebook(nn.Module):
    """Z vectors of C channels; each latent pixel is replaced by the nearest of them."""

    def __init__(self, codes: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, channels)
        nn.init.uniform_(self.embedding.weight, -1.0 / codes, 1.0 / codes)

    def indices(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) → (B, h, w), the lowest index where two are equally near."""
        vectors = latent.movedim(1, -1).flatten(0, -2)
        codes = self.embedding.weight
        lengths = codes.square().sum(1)
        # |z|² is the same for all codes, so the nearest is found without it.
        found = [(lengths - 2 * part @ codes.T).argmin(1) for part in torch.split(vectors, max(1, CHUNK // len(codes)))]
        return torch.cat(found).view(latent.shape[0], *latent.shape[2:])

    def forward(self, latent: Tensor) -> Tensor:
        """The nearest codes, (B, C, h, w); gradients pass as if nothing had happened."""
        nearest = self.lookup(self.indices(latent))
        return latent + (nearest - latent).detach() if latent.requires_grad else nearest

    def lookup(self, indices: Tensor) -> Tensor:
        """(B, h, w) → (B, C, h, w)."""
        return self.embedding(indices).movedim(-1, 1)


class AutoencoderVQ(nn.Module):
    """A first stage that encodes images in −1..1 to latents, and decodes the nearest codes of latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config, channels)
        self.decoder = Decoder(config)
        self.quantize = Codebook(config.codes, channels)
        self.quant_conv = nn.Conv2d(channels, channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in −1..1 → (B, C, h, w), not quantised. Raises ValueError as `AutoencoderKL.encode` does."""
        check_sides(image, self.config.factor)
        return self.quant_conv(self.encoder(image))

    def decode(self, latent: Tensor, *, quantise: bool = True) -> Tensor:
        """(B, C, h, w) → (B, 3, H, W), about −1..1 and not clamped."""
        return self.decoder(self.post_quant_conv(self.quantize(latent) if quantise else latent))
