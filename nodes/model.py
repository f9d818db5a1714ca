"""Nodes that change how a model is sampled. The weights stay shared; the model that was given is not changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from app.api import Model, Range, node
from app.diffusion.parameterization import flow, flux
from app.diffusion.parameterization.model_sampling import flux_shift

CATEGORY = "advanced/model"
Shift = Annotated[float, Range(0.0, 100.0, step=0.01)]
Side = Annotated[int, Range(16, 16384, step=8)]


@node("Model Sampling SD3", category=CATEGORY, id="ModelSamplingSD3", aliases=("shift", "flow"))
def model_sampling_sd3(*, model: Model, shift: Shift = 3.0) -> Model:
    """Spends more steps on the coarse form of the picture, for flow models.

    Args:
        shift: How much; 1 for an even spread.
    """
    return replace(model, sampling=flow(shift))


@node("Model Sampling AuraFlow", category=CATEGORY, id="ModelSamplingAuraFlow", aliases=("shift", "flow"))
def model_sampling_aura_flow(*, model: Model, shift: Shift = 1.73) -> Model:
    """Spends more steps on the coarse form of the picture, for flow models that are told the time from 0 to 1."""
    return replace(model, sampling=flow(shift, multiplier=1.0))


@node("Model Sampling Flux", category=CATEGORY, id="ModelSamplingFlux", aliases=("shift", "flow"))
def model_sampling_flux(
    *, model: Model, max_shift: Shift = 1.15, base_shift: Shift = 0.5, width: Side = 1024, height: Side = 1024
) -> Model:
    """Spends more steps on the coarse form of larger pictures, as Flux was trained.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
    """
    return replace(model, sampling=flux(flux_shift(width, height, base_shift=base_shift, max_shift=max_shift)))
