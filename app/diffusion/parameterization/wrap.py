"""The one place where latents meet a network's precision."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from app.diffusion.parameterization.model_sampling import ModelSampling


class Network(Protocol):
    """A network called as network(x [B, C, h, w], timestep [B], **conditions) → [B, C, h, w]."""

    def __call__(self, x: Tensor, timestep: Tensor, /, **conditions: Any) -> Tensor: ...


class NetworkDenoiser:
    """A network as a denoiser. Float32 outside; the network's own dtype and device inside.

    Called with sigma 0-d or [B]. Conditions given by keyword go to the network; floating tensors take its dtype.
    `network` is another one to be asked in its place, such as one with changed weights.
    """

    def __init__(self, network: Network, sampling: ModelSampling, dtype: torch.dtype):
        self.network, self.sampling, self.dtype = network, sampling, dtype

    def __call__(self, x: Tensor, sigma: Tensor, /, *, network: Network | None = None, **conditions: Any) -> Tensor:
        sigma = sigma.to(x.device)
        levels = sigma.expand(x.shape[0])
        timestep = self.sampling.timestep(levels)
        given = {name: self.prepared(value, x.device) for name, value in conditions.items()}
        output = (network or self.network)(self.sampling.scaled_input(x, levels).to(self.dtype), timestep, **given)
        return self.sampling.denoised(x, levels, output.to(x.dtype))

    def prepared(self, condition: Any, device: torch.device) -> Any:
        """A condition as the network takes it; one that is so already stays the very same tensor."""
        return cast(condition, device, self.dtype)


def cast(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A condition on the network's device, floating tensors in its dtype; looks into lists and mappings."""
    if isinstance(value, Tensor):
        return value.to(device, dtype if value.is_floating_point() else value.dtype)
    if isinstance(value, Mapping):
        return {key: cast(part, device, dtype) for key, part in typing.cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [cast(part, device, dtype) for part in typing.cast("Sequence[Any]", value)]
    return value


def denoiser_of(network: Network, sampling: ModelSampling, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
    """Wrap a network that computes in `dtype` into denoise(x, sigma, **conditions) → clean latent."""
    return NetworkDenoiser(network, sampling, dtype)
