"""Nodes that make noise levels and change them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch

from app.api import Choice, Latent, Model, Options, Range, Sigmas, node
from app.diffusion.schedules import curves, edits, tables
from app.diffusion.schedules.catalogue import SCHEDULES, sigmas
from app.diffusion.schedules.gits import gits

CATEGORY = "sampling/custom_sampling/schedulers"
EDITS = "sampling/custom_sampling/sigmas"
Steps = Annotated[int, Range(1, 10000)]
Level = Annotated[float, Range(0.0, 5000.0, step=0.01, round=False)]
Shift = Annotated[float, Range(0.0, 100.0, step=0.01)]
Denoise = Annotated[float, Range(0.0, 1.0, step=0.01)]
Bend = Annotated[float, Range(0.0, 100.0, step=0.01, round=False)]
Shape = Annotated[float, Range(0.0, 50.0, step=0.01, round=False)]


@node("Basic Scheduler", category=CATEGORY, id="BasicScheduler")
def basic_scheduler(
    *, model: Model, scheduler: Annotated[str, Choice(*SCHEDULES)], steps: Steps = 20, denoise: Denoise = 1.0
) -> Sigmas:
    """The noise levels that KSampler would use."""
    return sigmas(scheduler, model.sampling, steps, denoise=denoise)


@node("Karras Scheduler", category=CATEGORY, id="KarrasScheduler")
def karras_scheduler(
    *, steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675, rho: Bend = 7.0
) -> Sigmas:
    """Noise levels after Karras and others, 2022: many small ones at the end."""
    return curves.karras(steps, sigma_min, sigma_max, rho)


@node("Exponential Scheduler", category=CATEGORY, id="ExponentialScheduler")
def exponential_scheduler(*, steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675) -> Sigmas:
    """Noise levels that shrink by the same factor at every step."""
    return curves.exponential(steps, sigma_min, sigma_max)


@node("Polyexponential Scheduler", category=CATEGORY, id="PolyexponentialScheduler")
def polyexponential_scheduler(
    *, steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675, rho: Bend = 1.0
) -> Sigmas:
    """Noise levels whose logarithm follows a power of the time."""
    return curves.polyexponential(steps, sigma_min, sigma_max, rho)


@node("Laplace Scheduler", category=CATEGORY, id="LaplaceScheduler")
def laplace_scheduler(
    *,
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    mu: Annotated[float, Range(-10.0, 10.0, step=0.1, round=False)] = 0.0,
    beta: Annotated[float, Range(0.0, 10.0, step=0.1, round=False)] = 0.5,
) -> Sigmas:
    """Noise levels that lie densest around one of them."""
    return curves.laplace(steps, sigma_min, sigma_max, mu, beta)


@node("VP Scheduler", category=CATEGORY, id="VPScheduler")
def vp_scheduler(
    *,
    steps: Steps = 20,
    beta_d: Level = 19.9,
    beta_min: Level = 0.1,
    eps_s: Annotated[float, Range(0.0, 1.0, step=0.0001, round=False)] = 0.001,
) -> Sigmas:
    """Noise levels of the continuous variance-preserving process."""
    return curves.variance_preserving(steps, beta_d, beta_min, eps_s)


@node("Beta Sampling Scheduler", category=CATEGORY, id="BetaSamplingScheduler")
def beta_sampling_scheduler(*, model: Model, steps: Steps = 20, alpha: Shape = 0.6, beta: Shape = 0.6) -> Sigmas:
    """Noise levels at the quantiles of a Beta distribution."""
    return tables.beta(model.sampling, steps, alpha, beta)


@node("SD Turbo Scheduler", category=CATEGORY, id="SDTurboScheduler")
def sd_turbo_scheduler(
    *,
    model: Model,
    steps: Annotated[int, Range(1, 10)] = 1,
    denoise: Annotated[float, Range(0, 1.0, step=0.01)] = 1.0,
) -> Sigmas:
    """The noise levels that SD Turbo was trained on."""
    return tables.turbo(model.sampling, steps, denoise)


@node("Align Your Steps Scheduler", category=CATEGORY, id="AlignYourStepsScheduler")
def align_your_steps_scheduler(
    *, model_type: Literal["SD1", "SDXL", "SVD"], steps: Annotated[int, Range(1, 10000)] = 10, denoise: Denoise = 1.0
) -> Sigmas:
    """Noise levels that were optimised for a family of models."""
    return curves.align_your_steps(model_type, steps, denoise)


@node("Optimal Steps Scheduler", category=CATEGORY, id="OptimalStepsScheduler")
def optimal_steps_scheduler(
    *,
    model_type: Literal["FLUX", "Wan", "Chroma"],
    steps: Annotated[int, Range(3, 1000)] = 20,
    denoise: Denoise = 1.0,
) -> Sigmas:
    """Noise levels that were searched for a flow model."""
    return curves.optimal_steps(model_type, steps, denoise)


@node("GITS Scheduler", category=CATEGORY, id="GITSScheduler", aliases=("trajectory", "few steps"))
def gits_scheduler(
    *,
    coeff: Annotated[float, Range(0.8, 1.5, step=0.05)] = 1.2,
    steps: Annotated[int, Range(2, 1000)] = 10,
    denoise: Denoise = 1.0,
) -> Sigmas:
    """Noise levels that follow the bends of Stable Diffusion's trajectories, for few steps.

    Args:
        coeff: Where the levels lie: the larger, the more of them near the end.
        steps: Up to 20 as published; more are interpolated.
    """
    return gits(coeff, steps, denoise)


@node("LTXV Scheduler", category=CATEGORY, id="LTXVScheduler", aliases=("flow", "shift"))
def ltxv_scheduler(
    *,
    steps: Steps = 20,
    max_shift: Shift = 2.05,
    base_shift: Shift = 0.95,
    stretch: bool = True,
    terminal: Annotated[float, Range(0.0, 0.99, step=0.01)] = 0.1,
    latent: Latent | None = None,
) -> Sigmas:
    """Noise levels of a flow whose shift follows the size of the picture, as LTX-Video was trained.

    Args:
        max_shift: The shift for 4096 latent pixels.
        base_shift: The shift for 1024 latent pixels.
        stretch: Whether the last level above zero is `terminal`.
        latent: What is to be sampled; without it, 4096 latent pixels are assumed.
    """
    tokens = 4096 if latent is None else math.prod(latent["samples"].shape[2:])
    return curves.shifted_by_tokens(
        steps, tokens, max_shift=max_shift, base_shift=base_shift, stretch=stretch, terminal=terminal
    )


@node("Manual Sigmas", category="_for_testing/custom_sampling", id="ManualSigmas", aliases=("custom", "list"))
def manual_sigmas(*, sigmas: Annotated[str, Options(multiline=False)] = "1, 0.5, 0") -> Sigmas:
    """Noise levels that you list yourself.

    Args:
        sigmas: The levels from the noisiest down, with commas between them.
    """
    return edits.falling(torch.tensor(edits.listed(sigmas)))


@node("Timesteps", category=CATEGORY, id="LoomTimesteps", aliases=("custom", "list", "ddim"))
def timesteps(*, model: Model, timesteps: Annotated[str, Options(multiline=False)] = "999, 749, 499, 249") -> Sigmas:
    """The noise levels at times of the model that you list yourself, and a last zero.

    Args:
        timesteps: The times from the noisiest down, with commas between them.
    """
    levels = model.sampling.sigma(torch.tensor(edits.listed(timesteps)))
    return edits.falling(torch.cat([levels, torch.zeros(1)]))


@node("Split Sigmas", category=EDITS, id="SplitSigmas", outputs=("high_sigmas", "low_sigmas"))
def split_sigmas(*, sigmas: Sigmas, step: Annotated[int, Range(0, 10000)] = 0) -> tuple[Sigmas, Sigmas]:
    """Splits noise levels, so that two samplers can share the work."""
    return edits.split(sigmas, step)


@node("Split Sigmas (Denoise)", category=EDITS, id="SplitSigmasDenoise", outputs=("high_sigmas", "low_sigmas"))
def split_sigmas_denoise(*, sigmas: Sigmas, denoise: Denoise = 1.0) -> tuple[Sigmas, Sigmas]:
    """Splits noise levels so that the second part has this share of the steps."""
    return edits.split_denoise(sigmas, denoise)


@node("Flip Sigmas", category=EDITS, id="FlipSigmas")
def flip_sigmas(*, sigmas: Sigmas) -> Sigmas:
    """Reverses noise levels, to find the noise that belongs to a picture."""
    return edits.flip(sigmas)


@node("Set First Sigma", category=EDITS, id="SetFirstSigma")
def set_first_sigma(
    *, sigmas: Sigmas, sigma: Annotated[float, Range(0.0, 20000.0, step=0.001, round=False)] = 136.0
) -> Sigmas:
    """Replaces the first noise level by another one."""
    return edits.with_first(sigmas, sigma)


@node("Extend Intermediate Sigmas", category=EDITS, id="ExtendIntermediateSigmas")
def extend_intermediate_sigmas(
    *,
    sigmas: Sigmas,
    steps: Annotated[int, Range(1, 100)] = 2,
    start_at_sigma: Annotated[float, Range(-1.0, 20000.0, step=0.01, round=False)] = -1.0,
    end_at_sigma: Annotated[float, Range(0.0, 20000.0, step=0.01, round=False)] = 12.0,
    spacing: Annotated[str, Choice("linear", "cosine", "sine")],
) -> Sigmas:
    """Puts further noise levels between those of a part of the way.

    Args:
        start_at_sigma: Where the part begins; -1 for the first level.
    """
    return edits.extended(sigmas, steps, start_at_sigma=start_at_sigma, end_at_sigma=end_at_sigma, spacing=spacing)


@node(
    "Sampling Percent to Sigma",
    category=EDITS,
    id="SamplingPercentToSigma",
    outputs=("sigma_value",),
)
def sampling_percent_to_sigma(
    *,
    model: Model,
    sampling_percent: Annotated[float, Range(0.0, 1.0, step=0.0001)] = 0.0,
    return_actual_sigma: Annotated[bool, Options()] = False,
) -> float:
    """Tells the noise level after a part of the way.

    Args:
        return_actual_sigma: Whether 0 and 1 give the largest and smallest level of the model, instead of limits
            that no level passes.
    """
    ends = {0.0: model.sampling.sigma_max, 1.0: model.sampling.sigma_min} if return_actual_sigma else {}
    return ends.get(sampling_percent, model.sampling.percent_to_sigma(sampling_percent))
