"""A diffusion model as the graph passes it on: network, noise levels, latent format and previews."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from app.diffusion.families import Family
from app.diffusion.guidance.hooks import GuidanceHooks
from app.diffusion.inputs import NetworkInputs, text_alone
from app.diffusion.latent_format import LatentFormat
from app.diffusion.parameterization import ModelSampling, NetworkDenoiser, denoiser_of
from app.diffusion.working import make_ready, working_dtype
from app.errors import InvalidRequest

Preview = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class DiffusionModel:
    """Everything a sampler needs of a model.

    `preview` turns a clean latent in the model's scale (1, C, h, w) into a picture (H, W, 3) in 0..1; `inputs` turns
    a conditioning entry into arguments of the network; `guidance` is what nodes have a say in. `source` is the row of
    the family that it was built from.
    """

    network: nn.Module
    sampling: ModelSampling
    latent: LatentFormat
    preview: Preview
    family: str
    inputs: NetworkInputs = text_alone
    source: Family | None = None
    guidance: GuidanceHooks = field(default_factory=GuidanceHooks)

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the network computes in, which its weights have from now on if they had not before."""
        make_ready(self.network)
        return working_dtype(self.network)

    def denoiser(self) -> NetworkDenoiser:
        """denoise(x, sigma, context=…) on latents in the model's scale."""
        return denoiser_of(self.network, self.sampling, self.dtype)

    def fit(self, latent: Tensor) -> Tensor:
        """A latent in the model's number of channels; an empty one of another number is widened or cut.

        Raises:
            InvalidRequest: a latent with content and another number of channels.
        """
        channels = self.latent.channels
        if latent.shape[1] == channels:
            return latent
        if bool(latent.any()):
            raise InvalidRequest(
                f"This latent has {latent.shape[1]} channels; the model works on {channels}.",
                remedy="Encode the image with the VAE of the same checkpoint.",
            )
        return latent.new_zeros(latent.shape[0], channels, *latent.shape[2:])
