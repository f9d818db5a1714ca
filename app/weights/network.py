"""A diffusion model from the tensors of its network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from app.diffusion.families import Family, NetworkConfig
from app.diffusion.inputs import NetworkInputs, UNetInputs, inputs_of
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ImageControl
from app.diffusion.models.eight_bit import EIGHT_BITS, keep_in_eight_bits
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet
from app.diffusion.preview import linear_preview
from app.diffusion.unclip import NoiseAugmentor, UnclipInputs
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.parts import Parts


@dataclass(frozen=True, slots=True)
class EightBits:
    """Whether a network keeps its weights in 8 bits: as `kept` in any case, or as the file has them without `room`.

    `room` are the bytes that weights may take, None for any; `fast` computes products of 8-bit numbers.
    """

    kept: torch.dtype | None = None
    room: int | None = None
    fast: bool = False


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
    transformers = (MMDiT, Flux, FluxControl, SD3Control, SD3ImageControl)
    is_large = isinstance(network, transformers) and sum(value.numel() for value in network.parameters()) >= LARGE
    return torch.bfloat16 if is_large and dtype == torch.float32 else dtype


def model_of(
    family: Family, parts: Parts, name: str, dtype: torch.dtype, eight_bits: EightBits | None = None
) -> DiffusionModel:
    """The family's network, filled with the tensors of the file `name`. Raises UnusableFile."""
    eight_bits = eight_bits or EightBits()
    with blank():
        network = network_of(family.unet)
        kept = eight_bits.kept or _stored_in_eight_bits(network, parts, precision_of(network, dtype), eight_bits.room)
        if kept is not None:
            keep_in_eight_bits(network, kept, fast=eight_bits.fast)
    fill(
        network,
        parts.network,
        name,
        dtype=precision_of(network, dtype),
        told=parts.network_prefix,
        later=True,
        in_blocks=True,
    )
    return DiffusionModel(
        network,
        family.sampling.build(),
        family.latent,
        linear_preview(family.latent),
        family.name,
        _inputs(family, parts),
        family,
    )


def _stored_in_eight_bits(network: nn.Module, parts: Parts, dtype: torch.dtype, room: int | None) -> torch.dtype | None:
    """The kind of 8 bits that the file is stored in, if the network has no `room` in `dtype`; else None."""
    count = sum(value.numel() for value in network.parameters())
    if room is None or count * dtype.itemsize <= room:
        return None
    widest = max(parts.network.values(), key=lambda stored: math.prod(stored.shape))
    if widest.blocks:
        return None
    stored = (widest.scaled[0] if widest.scaled else widest).read().dtype
    return stored if stored in EIGHT_BITS else None


def _inputs(family: Family, parts: Parts) -> NetworkInputs:
    """What the network takes of conditioning; of pictures too, where the file tells how their embeddings spread."""
    inputs = inputs_of(family)
    if isinstance(inputs, UNetInputs) and all(name in parts.rest for name in AUGMENTOR):
        mean, deviation = (parts.rest[name].read().float().reshape(1, -1) for name in AUGMENTOR)
        return UnclipInputs(inputs, NoiseAugmentor(mean, deviation))
    return inputs
