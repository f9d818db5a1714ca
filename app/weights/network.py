"""A diffusion model from the tensors of its network."""

from __future__ import annotations

import torch

from app.diffusion.families import Family
from app.diffusion.inputs import UNetInputs
from app.diffusion.model import DiffusionModel
from app.diffusion.models.unet import UNet
from app.diffusion.preview import linear_preview
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.parts import Parts


def model_of(family: Family, parts: Parts, name: str, dtype: torch.dtype) -> DiffusionModel:
    """The family's network, filled with the tensors of the file `name`. Raises UnusableFile."""
    with blank():
        network = UNet(family.unet)
    fill(network, parts.network, name, dtype=dtype, told=parts.network_prefix)
    return DiffusionModel(
        network,
        family.sampling.build(),
        family.latent,
        linear_preview(family.latent),
        family.name,
        inputs_of(family),
        family,
    )


def inputs_of(family: Family) -> UNetInputs:
    """What the family's network takes of conditioning."""
    edits_scaled = family.sampling.prediction == "v-edm"
    return UNetInputs(family.unet, family.latent, scales_image=edits_scaled, signed=family.name.startswith("ldm-"))
