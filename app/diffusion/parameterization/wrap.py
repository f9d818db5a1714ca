"""The one place where latents meet a network's precision."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from app.diffusion.parameterization.model_sampling import ModelSampling


class Network(Protocol):
    """A network called as network(x [B, C, h, w], timestep [B], **conditions) → [B, C, h, w]."""

    def __call__(self, x: Tensor, timestep: Tensor, /, **conditions: Tensor) -> Tensor: ...


class NetworkDenoiser:
    """A network as a denoiser. Float32 outside; the network's own dtype and device inside.

    Called with sigma 0-d or [B]. Conditions given by keyword go to the network; floating ones take its dtype.
    """

    def __init__(self, network: Network, sampling: ModelSampling, dtype: torch.dtype):
        self.network, self.sampling, self.dtype = network, sampling, dtype

    def __call__(self, x: Tensor, sigma: Tensor, /, **conditions: Tensor) -> Tensor:
        sigma = sigma.to(x.device)
        levels = sigma.expand(x.shape[0])
        timestep = self.sampling.timestep(levels)
        given = {name: self._cast(value, x.device) for name, value in conditions.items()}
        output = self.network(self.sampling.scaled_input(x, levels).to(self.dtype), timestep, **given)
        return self.sampling.denoised(x, levels, output.to(x.dtype))

    def _cast(self, value: Tensor, device: torch.device) -> Tensor:
        return value.to(device, self.dtype if value.is_floating_point() else value.dtype)


def denoiser_of(network: Network, sampling: ModelSampling, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
    """Wrap a network that computes in `dtype` into denoise(x, sigma, **conditions) → clean latent."""
    return NetworkDenoiser(network, sampling, dtype)
