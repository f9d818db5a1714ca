"""A diffusion model from the tensors of its network."""

from __future__ import annotations

import torch
from torch import nn

from app.diffusion.families import Family, NetworkConfig
from app.diffusion.inputs import inputs_of
from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet
from app.diffusion.preview import linear_preview
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.parts import Parts

LARGE = 1_000_000_000  # weights


def network_of(config: NetworkConfig) -> nn.Module:
    """The network of that shape, with fresh weights."""
    if isinstance(config, MMDiTConfig):
        return MMDiT(config)
    return Flux(config) if isinstance(config, FluxConfig) else UNet(config)


def precision_of(network: nn.Module, dtype: torch.dtype) -> torch.dtype:
    """What a network's weights are held in: bfloat16 for a large transformer, which in float32 few machines can hold.

    Stable Diffusion 3 and Flux are published in half precision, so float32 would hold no more than they say.
    """
    is_large = isinstance(network, MMDiT | Flux) and sum(value.numel() for value in network.parameters()) >= LARGE
    return torch.bfloat16 if is_large and dtype == torch.float32 else dtype


def model_of(family: Family, parts: Parts, name: str, dtype: torch.dtype) -> DiffusionModel:
    """The family's network, filled with the tensors of the file `name`. Raises UnusableFile."""
    with blank():
        network = network_of(family.unet)
    fill(network, parts.network, name, dtype=precision_of(network, dtype), told=parts.network_prefix)
    return DiffusionModel(
        network,
        family.sampling.build(),
        family.latent,
        linear_preview(family.latent),
        family.name,
        inputs_of(family),
        family,
    )
