"""Pictures of latents that are still being sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import SD, SDXL_LATENT, LatentFormat


@dataclass(frozen=True, slots=True)
class DecodedPreview:
    """Decodes for real: for a first stage so small that it costs less than a step of the sampler."""

    first_stage: FirstStage
    latent: LatentFormat

    def __call__(self, denoised: Tensor) -> Tensor:
        """(1, C, h, w) in the model's scale → (H, W, 3) in 0..1."""
        return self.first_stage.glimpse(self.latent.from_model(denoised))[0]


@dataclass(frozen=True, slots=True)
class LinearPreview:
    """A colour for each latent pixel by a linear map, `colours` (C + 1, 3) with the offset last, in 0..1."""

    colours: Tensor

    def __call__(self, denoised: Tensor) -> Tensor:
        """(1, C, h, w) in the model's scale → (h, w, 3) in 0..1."""
        pixels = denoised[0].movedim(0, -1).float().cpu()
        return (pixels @ self.colours[:-1] + self.colours[-1]).clamp(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ChannelPreview:
    """The first three channels as colours, stretched to the whole range: for latents whose colours nobody fitted."""

    def __call__(self, denoised: Tensor) -> Tensor:
        """(1, C, h, w) → (h, w, 3) in 0..1."""
        pixels = denoised[0, :3].float().cpu()
        pixels = pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels
        low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
        return ((pixels - low) / (high - low).clamp(min=1e-6)).movedim(0, -1)


# Red, green and blue in −1..1 for each channel of the latent, and for none; least squares over decoded pictures.
_SD_COLOURS = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
    (0.0, 0.0, 0.0),
)
_SDXL_COLOURS = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
    (0.1084, -0.0175, -0.0011),
)


def linear_preview(latent: LatentFormat) -> LinearPreview | ChannelPreview:
    """What shows latents of a published family without its first stage."""
    known = {SD: _SD_COLOURS, SDXL_LATENT: _SDXL_COLOURS}
    if latent not in known:
        return ChannelPreview()
    colours = torch.tensor(known[latent]) / 2
    colours[-1] += 0.5
    return LinearPreview(colours)


def fit_colours(denoised: Tensor, images: Tensor) -> Tensor:
    """The linear map from latents (B, C, h, w) to images (B, 3, H, W) in 0..1 with the least squared error."""
    small = torch.nn.functional.interpolate(images, size=denoised.shape[2:], mode="area")
    x = denoised.movedim(1, -1).flatten(0, 2)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    y = small.movedim(1, -1).flatten(0, 2)
    # Torch does not say what its linear algebra returns.
    return cast("Tensor", torch.linalg.lstsq(x, y).solution)  # pyright: ignore[reportUnknownMemberType]
