"""A first stage with the image conventions of the graph: channels last, 0..1.

B images, C latent channels, H × W pixels, h × w latent pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion import piecewise
from app.diffusion.given import MADE_BADLY, checked_image, checked_samples, finite
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL, Posterior
from app.diffusion.models.autoencoder_tiny import PixelSpace, TinyAutoencoder
from app.diffusion.models.autoencoder_vq import AutoencoderVQ
from app.diffusion.working import make_ready
from app.errors import InvalidRequest

BEYOND = 1000.0  # no first stage makes latents, and no image has values, of a tenth of this size
SMALL = (TinyAutoencoder, PixelSpace)  # which need so little memory that they are never computed in pieces


def autoencoder_of(config: AutoencoderConfig) -> AutoencoderKL | AutoencoderVQ:
    """The network of that shape, with fresh weights."""
    return AutoencoderVQ(config) if config.codes else AutoencoderKL(config)


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Images to latents and back."""

    model: AutoencoderKL | AutoencoderVQ | TinyAutoencoder | PixelSpace

    @property
    def factor(self) -> int:
        """Pixels per latent pixel along one side."""
        return self.model.config.factor

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return self.model.config.latent_channels

    @property
    def cover(self) -> float:
        """What hides a part of a picture (0..1) from inpainting models that learnt on this stage's latents.

        Stable Diffusion's have learnt on grey; latent diffusion's, the only one on a codebook, on black.
        """
        return 0.0 if self.model.config.codes else 0.5

    @torch.no_grad()
    def encode(self, image: Tensor, side: int | None = None) -> Tensor:
        """(B, H, W, 3 or more) in 0..1 → (B, C, h, w) in float32, the mean where there is a posterior.

        Sides that are no multiples of the factor are cropped evenly on both ends. With `side` in pieces of so many
        pixels, for which less memory suffices; the result is the same.

        Raises:
            InvalidRequest: no image, one smaller than the factor, or a latent that came out as no numbers.
        """
        checked_image(image)
        height, width = image.shape[1] // self.factor * self.factor, image.shape[2] // self.factor * self.factor
        if not height or not width:
            raise InvalidRequest(
                f"An image of {image.shape[2]} × {image.shape[1]} pixels is too small to encode.",
                remedy=f"Give one of at least {self.factor} × {self.factor} pixels.",
            )
        top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
        pixels = image[:, top : top + height, left : left + width, :3].movedim(-1, 1)
        make_ready(self.model)
        parameter = next(self.model.parameters())
        pixels = (pixels * 2.0 - 1.0).to(parameter)
        if side is not None and not isinstance(self.model, SMALL):
            latent = piecewise.encoded(self.model, pixels, max(side, self.factor)).float()
        else:
            encoded = self.model.encode(pixels)
            latent = (encoded.mean if isinstance(encoded, Posterior) else encoded).float()
        if not finite(latent):
            raise self._not_numbers(image, "image")
        return latent

    @torch.no_grad()
    def decode(self, latent: Tensor, side: int | None = None) -> Tensor:
        """(B, C, h, w) → (B, H, W, 3) in 0..1, float32; with `side` in pieces of so many pixels, as `encode`.

        Raises:
            InvalidRequest: no latent, one of another number of channels, or an image that came out as no numbers.
        """
        if checked_samples(latent).shape[1] != self.channels:
            raise InvalidRequest(
                f"This latent has {latent.shape[1]} channels; the VAE decodes {self.channels}.",
                remedy="Decode with the VAE of the checkpoint that sampled it.",
            )
        image = self._decoded(latent, side)
        if not finite(image):
            raise self._not_numbers(latent, "latent")
        return _shown(image)

    @torch.no_grad()
    def glimpse(self, latent: Tensor) -> Tensor:
        """As `decode`, for pictures on the way: what is not right about them is no reason to stop."""
        return _shown(self._decoded(latent))

    def _decoded(self, latent: Tensor, side: int | None = None) -> Tensor:
        """(B, C, h, w) → (B, 3, H, W) in −1..1 and somewhat beyond, float32."""
        make_ready(self.model)
        latent = latent.to(next(self.model.parameters()))
        if side is None or isinstance(self.model, SMALL):
            return self.model.decode(latent).float()
        return piecewise.decoded(self.model, latent, side).float()

    def _not_numbers(self, given: Tensor, what: str) -> InvalidRequest:
        """Says whether what was given is to blame, which was all numbers, or the VAE."""
        largest = float(given.abs().max())
        if largest > BEYOND:
            return InvalidRequest(
                f"This {what} holds values up to {largest:.3g}, which the VAE cannot compute with; usual are values "
                f"below {1 if what == 'image' else 100}.",
                remedy=MADE_BADLY,
            )
        precision = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        way = "Start with --precision bfloat16 or float32, or link" if precision == "float16" else "Link"
        return InvalidRequest(
            f"The VAE computed values that are not numbers, in {precision}; the {what} that it was given is sound.",
            remedy=f"{way} another VAE for the same model.",
            input_name="vae",
        )


def _shown(image: Tensor) -> Tensor:
    """(B, 3, H, W) in −1..1 → (B, H, W, 3) in 0..1."""
    return (image / 2.0 + 0.5).clamp(0.0, 1.0).movedim(1, -1)
