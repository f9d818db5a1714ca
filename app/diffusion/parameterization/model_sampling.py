"""A model's noise levels and the meaning of its output, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.parameterization import betas as beta_schedules
from app.diffusion.parameterization.predictions import (
    COSMOS_FLOW,
    EPS,
    FLOW,
    ConsistencyPrediction,
    EdmPrediction,
    Prediction,
    VelocityPrediction,
)
from app.diffusion.parameterization.times import (
    AngleClock,
    CascadeClock,
    Clock,
    DiscreteClock,
    DistilledClock,
    EdmClock,
    FlowClock,
    FluxClock,
    LogUniformClock,
)
from app.diffusion.process import Process
from app.errors import InvalidRequest


@dataclass(frozen=True)
class ModelSampling:
    """What a sampler, a schedule and the denoiser's wrapper need to know of a model.

    `sigma` tensors are 0-d or [B]; latents are [B, C, …] float32.
    """

    prediction: Prediction
    clock: Clock

    @property
    def process(self) -> Process:
        """How noise and clean latent are mixed."""
        return self.prediction.process

    @property
    def sigmas(self) -> Tensor:
        """The trained noise levels, float32 [N], rising."""
        return self.clock.sigmas

    @property
    def sigma_min(self) -> float:
        """The smallest trained noise level."""
        return self.sigmas[0].item()

    @property
    def sigma_max(self) -> float:
        """The largest trained noise level."""
        return self.sigmas[-1].item()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The time that the network is told at sigma."""
        return self.clock.timestep(sigma)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at a network time."""
        return self.clock.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level after `percent` (0..1) of the sampling.

        Inside, a float32 value as schedules hold them: a step that falls on the end of a range belongs to it.
        """
        level = self.clock.percent_to_sigma(percent)
        return torch.tensor(level, dtype=torch.float32).item() if 0 < percent < 1 else level

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network is shown of x."""
        return self.prediction.scaled_input(x, sigma)

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        return self.prediction.denoised(x, sigma, output)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False) -> Tensor:
        """The noisy latent at sigma."""
        return self.prediction.noise_scaling(sigma, noise, latent, max_denoise)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """The latent that is handed out when sampling stops at sigma."""
        return self.prediction.inverse_noise_scaling(sigma, latent)

    def is_max_denoise(self, sigma: Tensor) -> bool:
        """Whether sampling that starts at sigma starts from pure noise."""
        first = float(sigma)
        return first > self.sigma_max or math.isclose(first, self.sigma_max, rel_tol=1e-5)


def discrete(
    prediction: Prediction = EPS,
    *,
    beta_schedule: str = "linear",
    linear_start: float = 0.00085,  # LDM and SD 1/2/XL configurations
    linear_end: float = 0.012,
    count: int = 1000,
    zero_terminal_snr: bool = False,
    betas: Tensor | None = None,
) -> ModelSampling:
    """Levels of a discrete forward process, by name (CompVis's spelling) or from given betas [T].

    Raises InvalidRequest for an unknown name or betas out of order.
    """
    if betas is None:
        if beta_schedule not in beta_schedules.SCHEDULES:
            known = ", ".join(beta_schedules.SCHEDULES)
            raise InvalidRequest(f"No beta schedule is called {beta_schedule!r}.", remedy=f"Choose one of: {known}.")
        betas = beta_schedules.SCHEDULES[beta_schedule](count, linear_start, linear_end)
    signal = beta_schedules.signal_of(beta_schedules.checked(betas))
    if zero_terminal_snr:
        signal = beta_schedules.zero_terminal(signal)
    return ModelSampling(prediction, DiscreteClock(signal))


def consistency(
    linear_start: float = 0.00085, linear_end: float = 0.012, zero_terminal_snr: bool = False
) -> ModelSampling:
    """A latent consistency model: 50 levels of 1000, and a network that is a consistency function (LCM)."""
    signal = beta_schedules.signal_of(beta_schedules.linear(1000, linear_start, linear_end))
    clock = DistilledClock(beta_schedules.zero_terminal(signal) if zero_terminal_snr else signal)
    return ModelSampling(ConsistencyPrediction(time_of=clock.timestep), clock)


def flow(shift: float = 1.0, multiplier: float = 1000.0, count: int = 1000) -> ModelSampling:
    """Rectified flow; SD3 has shift 3."""
    return ModelSampling(FLOW, FlowClock(shift, multiplier, count))


def flux(shift: float = 1.15, count: int = 10000) -> ModelSampling:
    """Rectified flow with Flux's exponential shift."""
    return ModelSampling(FLOW, FluxClock(shift, count))


def flux_shift(width: int, height: int, *, base_shift: float = 0.5, max_shift: float = 1.15) -> float:
    """The shift for a picture of this many pixels: linear in its 16×16-pixel tokens, from 256 to 4096 of them."""
    tokens = width * height / (8 * 8 * 2 * 2)
    return base_shift + (max_shift - base_shift) * (tokens - 256) / (4096 - 256)


def continuous_edm(
    sigma_min: float = 0.002, sigma_max: float = 80.0, sigma_data: float = 0.5, *, prediction: Prediction | None = None
) -> ModelSampling:
    """EDM levels and times; pass a prediction for models that only share those (v-EDM, eps)."""
    return ModelSampling(prediction or EdmPrediction(sigma_data), EdmClock(sigma_min, sigma_max))


def continuous_v(sigma_min: float = 0.03, sigma_max: float = 500.0, sigma_data: float = 1.0) -> ModelSampling:
    """Velocity over continuous angles."""
    return ModelSampling(VelocityPrediction(sigma_data), AngleClock(sigma_min, sigma_max))


def cascade(shift: float = 1.0) -> ModelSampling:
    """Stable Cascade: noise prediction on a shifted cosine schedule; stage C has shift 2, stage B 1."""
    return ModelSampling(EPS, CascadeClock(shift))


class CosmosClock(LogUniformClock):
    """The network hears s = sigma / (sigma + 1)."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma / (sigma + 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        return timestep / (1 - timestep)


def cosmos_flow(sigma_min: float = 0.002, sigma_max: float = 80.0) -> ModelSampling:
    """A flow network in variance-exploding coordinates."""
    return ModelSampling(COSMOS_FLOW, CosmosClock(sigma_min, sigma_max))
