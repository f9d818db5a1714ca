"""Pictures of latents that are still being sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import LatentFormat


@dataclass(frozen=True, slots=True)
class DecodedPreview:
    """Decodes for real: for a first stage so small that it costs less than a step of the sampler."""

    first_stage: FirstStage
    latent: LatentFormat

    def __call__(self, denoised: Tensor) -> Tensor:
        """(1, C, h, w) in the model's scale → (H, W, 3) in 0..1."""
        return self.first_stage.decode(self.latent.from_model(denoised))[0]


@dataclass(frozen=True, slots=True)
class LinearPreview:
    """A colour for each latent pixel by a linear map, `colours` (C + 1, 3) with the offset last, in 0..1."""

    colours: Tensor

    def __call__(self, denoised: Tensor) -> Tensor:
        """(1, C, h, w) in the model's scale → (h, w, 3) in 0..1."""
        pixels = denoised[0].movedim(0, -1).float().cpu()
        return (pixels @ self.colours[:-1] + self.colours[-1]).clamp(0.0, 1.0)


def fit_colours(denoised: Tensor, images: Tensor) -> Tensor:
    """The linear map from latents (B, C, h, w) to images (B, 3, H, W) in 0..1 with the least squared error."""
    small = torch.nn.functional.interpolate(images, size=denoised.shape[2:], mode="area")
    x = denoised.movedim(1, -1).flatten(0, 2)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    y = small.movedim(1, -1).flatten(0, 2)
    # Torch does not say what its linear algebra returns.
    return cast("Tensor", torch.linalg.lstsq(x, y).solution)  # pyright: ignore[reportUnknownMemberType]
