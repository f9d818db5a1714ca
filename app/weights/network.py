"""A diffusion model from the tensors of its network."""

from __future__ import annotations

import torch
from torch import nn

from app.diffusion.families import Family, NetworkConfig
from app.diffusion.inputs import NetworkInputs, UNetInputs, inputs_of
from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet
from app.diffusion.preview import linear_preview
from app.diffusion.unclip import NoiseAugmentor, UnclipInputs
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.parts import Parts

LARGE = 1_000_000_000  # weights
AUGMENTOR = ("noise_augmentor.data_mean", "noise_augmentor.data_std")


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
    fill(network, parts.network, name, dtype=precision_of(network, dtype), told=parts.network_prefix, later=True)
    return DiffusionModel(
        network,
        family.sampling.build(),
        family.latent,
        linear_preview(family.latent),
        family.name,
        _inputs(family, parts),
        family,
    )


def _inputs(family: Family, parts: Parts) -> NetworkInputs:
    """What the network takes of conditioning; of pictures too, where the file tells how their embeddings spread."""
    inputs = inputs_of(family)
    if isinstance(inputs, UNetInputs) and all(name in parts.rest for name in AUGMENTOR):
        mean, deviation = (parts.rest[name].read().float().reshape(1, -1) for name in AUGMENTOR)
        return UnclipInputs(inputs, NoiseAugmentor(mean, deviation))
    return inputs
