"""Nodes that change how a model is sampled. The weights stay shared; the model that was given is not changed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

from app.api import Choice, InvalidRequest, Latent, Model, Range, node
from app.diffusion.families import SamplingConfig
from app.diffusion.parameterization import (
    EPS,
    IMAGE_TO_IMAGE,
    X0,
    V,
    cascade,
    continuous_edm,
    continuous_v,
    cosmos_flow,
    discrete,
    flow,
    flux,
)
from app.diffusion.parameterization.model_sampling import consistency, flux_shift

CATEGORY = "advanced/model"
Shift = Annotated[float, Range(0.0, 100.0, step=0.01)]
Level = Annotated[float, Range(0.0, 1000.0, step=0.001, round=False)]
LARGEST_EXPONENT = 80.0  # e to a somewhat larger power is too large for float32
PREDICTIONS = {"eps": EPS, "v_prediction": V, "x0": X0, "img_to_img": IMAGE_TO_IMAGE}
Side = Annotated[int, Range(16, 16384, step=8)]


@node("Model Sampling SD3", category=CATEGORY, id="ModelSamplingSD3", aliases=("shift", "flow"))
def model_sampling_sd3(*, model: Model, shift: Shift = 3.0) -> Model:
    """Spends more steps on the coarse form of the picture, for flow models.

    Args:
        shift: How much; 1 for an even spread.
    """
    return replace(model, sampling=flow(_shift(shift)))


@node("Model Sampling AuraFlow", category=CATEGORY, id="ModelSamplingAuraFlow", aliases=("shift", "flow"))
def model_sampling_aura_flow(*, model: Model, shift: Shift = 1.73) -> Model:
    """Spends more steps on the coarse form of the picture, for flow models that are told the time from 0 to 1."""
    return replace(model, sampling=flow(_shift(shift), multiplier=1.0))


@node("Model Sampling Flux", category=CATEGORY, id="ModelSamplingFlux", aliases=("shift", "flow"))
def model_sampling_flux(
    *, model: Model, max_shift: Shift = 1.15, base_shift: Shift = 0.5, width: Side = 1024, height: Side = 1024
) -> Model:
    """Spends more steps on the coarse form of larger pictures, as Flux was trained.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
    """
    shift = flux_shift(width, height, base_shift=base_shift, max_shift=max_shift)
    return replace(model, sampling=flux(_exponent(shift, f"pictures of {width} × {height}")))


@node("Model Sampling LTXV", category=CATEGORY, id="ModelSamplingLTXV", aliases=("shift", "flow"))
def model_sampling_ltxv(
    *, model: Model, max_shift: Shift = 2.05, base_shift: Shift = 0.95, latent: Latent | None = None
) -> Model:
    """Spends more steps on the coarse form of larger latents, as LTX-Video was trained.

    Args:
        max_shift: The shift for 4096 latent pixels.
        base_shift: The shift for 1024 latent pixels.
        latent: What is to be sampled; without it, 4096 latent pixels are assumed.
    """
    tokens = 4096 if latent is None else math.prod(latent["samples"].shape[2:])
    shift = base_shift + (max_shift - base_shift) * (tokens - 1024) / (4096 - 1024)
    return replace(model, sampling=flux(_exponent(shift, f"{tokens} latent pixels")))


@node("Model Sampling Discrete", category=CATEGORY, id="ModelSamplingDiscrete", aliases=("zsnr", "v prediction"))
def model_sampling_discrete(
    *,
    model: Model,
    sampling: Annotated[str, Choice("eps", "v_prediction", "lcm", "x0", "img_to_img")],
    zsnr: bool = False,
) -> Model:
    """Says what the network predicts, where a file does not tell.

    Args:
        sampling: The noise, the velocity, a consistency function (LCM), the clean latent, or the result itself.
        zsnr: Whether the model was trained down to pure noise.
    """
    said = model.source.sampling if model.source is not None else SamplingConfig()
    first, last = said.linear_start, said.linear_end
    if sampling == "lcm":
        return replace(model, sampling=consistency(first, last, zsnr))
    prediction = PREDICTIONS[sampling]
    return replace(model, sampling=discrete(prediction, linear_start=first, linear_end=last, zero_terminal_snr=zsnr))


@node("Model Sampling Continuous EDM", category=CATEGORY, id="ModelSamplingContinuousEDM", aliases=("edm",))
def model_sampling_continuous_edm(
    *,
    model: Model,
    sampling: Annotated[str, Choice("v_prediction", "edm", "edm_playground_v2.5", "eps", "cosmos_rflow")],
    sigma_max: Level = 120.0,
    sigma_min: Level = 0.002,
) -> Model:
    """Says that the network hears the logarithm of the noise level, and what it predicts.

    Args:
        sigma_max: The noise level to start from.
        sigma_min: The least noise level.
    """
    _levels(sigma_min, sigma_max)
    if sampling == "cosmos_rflow":
        return replace(model, sampling=cosmos_flow(sigma_min, sigma_max))
    prediction = PREDICTIONS.get(sampling)  # EDM's own without one
    return replace(model, sampling=continuous_edm(sigma_min, sigma_max, prediction=prediction))


@node("Model Sampling Continuous V", category=CATEGORY, id="ModelSamplingContinuousV")
def model_sampling_continuous_v(
    *,
    model: Model,
    sampling: Annotated[str, Choice("v_prediction")],
    sigma_max: Level = 500.0,
    sigma_min: Level = 0.03,
) -> Model:
    """Says that the network predicts the velocity and hears an angle.

    Args:
        sigma_max: The noise level to start from.
        sigma_min: The least noise level.
    """
    _levels(sigma_min, sigma_max)
    return replace(model, sampling=continuous_v(sigma_min, sigma_max))


@node("Model Sampling Stable Cascade", category=CATEGORY, id="ModelSamplingStableCascade", aliases=("shift",))
def model_sampling_stable_cascade(*, model: Model, shift: Shift = 2.0) -> Model:
    """Moves the levels of Stable Cascade's cosine schedule; 2 for stage C, 1 for stage B."""
    return replace(model, sampling=cascade(_shift(shift, "Choose 2 for stage C, 1 for stage B.")))


def _shift(shift: float, remedy: str = "Choose 1 for an even spread, 3 for most models.") -> float:
    if not 0 < shift < math.inf:
        raise InvalidRequest(
            f"With a shift of {shift} there are no noise levels: it must be above zero.",
            remedy=remedy,
            input_name="shift",
        )
    return shift


def _exponent(shift: float, size: str) -> float:
    """A shift that is e's power, where that power can be computed with."""
    if not abs(shift) < LARGEST_EXPONENT:
        raise InvalidRequest(
            f"For {size} these shifts give {shift:.4g}, with which there are no noise levels.",
            remedy="Choose base_shift and max_shift near 1, with max_shift above base_shift.",
            input_name="max_shift",
        )
    return shift


def _levels(low: float, high: float) -> None:
    if not 0 < low < high < math.inf:
        raise InvalidRequest(
            f"Noise levels from {low} to {high} are not possible.",
            remedy="Choose sigma_min above 0 and below sigma_max.",
            input_name="sigma_min",
        )
