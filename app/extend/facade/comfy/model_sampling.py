"""`comfy.model_sampling`: noise levels and the meaning of a network's output, as classes that packs put together.

A pack makes a class from two bases, one that schedules and one that predicts, and puts an object of it into a model
in place of "model_sampling". `sampling_of` turns such an object into what our samplers take.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from app.diffusion.parameterization import EPS as NATIVE_EPS
from app.diffusion.parameterization import ModelSampling, V, discrete, flow
from app.diffusion.parameterization.model_sampling import continuous_edm, flux
from app.diffusion.parameterization.predictions import FLOW, Prediction
from app.diffusion.process import FLOW as FLOW_PROCESS
from app.diffusion.process import VE, Process


class EPS:
    """The network predicts the noise."""

    prediction: Prediction = NATIVE_EPS
    sigma_data: float = 1.0

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network is shown."""
        return self.prediction.scaled_input(noise, sigma)

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the output stands for."""
        return self.prediction.denoised(model_input, sigma, model_output)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """The noisy latent at sigma."""
        return self.prediction.noise_scaling(sigma, noise, latent_image, max_denoise)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """What is handed out when sampling stops at sigma."""
        return self.prediction.inverse_noise_scaling(sigma, latent)


class V_PREDICTION(EPS):
    """The network predicts the velocity."""

    prediction = V


class CONST(EPS):
    """The network predicts the flow from picture to noise."""

    prediction = FLOW


class X0(EPS):
    """The network predicts the clean latent."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The output itself."""
        return model_output


class _Scheduled(torch.nn.Module):
    """Levels of a native clock."""

    native: ModelSampling
    sigmas: Tensor
    log_sigmas: Tensor

    def _take(self, native: ModelSampling) -> None:
        self.native = native
        self.register_buffer("sigmas", native.sigmas.clone(), persistent=False)

    def set_sigmas(self, sigmas: Tensor) -> None:
        """Use other levels, rising."""
        self.register_buffer("sigmas", sigmas.float(), persistent=False)
        self.register_buffer("log_sigmas", sigmas.float().log(), persistent=False)

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """The time that the network is told."""
        return self.native.timestep(sigma)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level at a time."""
        return self.native.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """The level after that part of the sampling."""
        return self.native.percent_to_sigma(percent)


class ModelSamplingDiscrete(_Scheduled):
    """Levels of a discrete forward process; those that `set_sigmas` gave are interpolated in log sigma."""

    def __init__(self, model_config: Any = None, zsnr: bool | None = None) -> None:
        super().__init__()
        settings: dict[str, Any] = dict(getattr(model_config, "sampling_settings", None) or {})
        self._take(
            discrete(
                beta_schedule=settings.get("beta_schedule", "linear"),
                linear_start=settings.get("linear_start", 0.00085),
                linear_end=settings.get("linear_end", 0.012),
                count=settings.get("timesteps", 1000),
                zero_terminal_snr=bool(settings.get("zsnr", False) if zsnr is None else zsnr),
            )
        )
        self.num_timesteps = len(self.sigmas)
        self.register_buffer("log_sigmas", self.sigmas.log(), persistent=False)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The index of the nearest level."""
        distance = sigma.log().unsqueeze(-1) - self.log_sigmas.to(sigma.device)
        return distance.abs().argmin(dim=-1).float()

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level at an index; between two, on a straight line in log sigma."""
        logs = self.log_sigmas.to(timestep.device)
        time = timestep.float().clamp(0, len(logs) - 1)
        low, high, part = time.floor().long(), time.ceil().long(), time.frac()
        return ((1 - part) * logs[low] + part * logs[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        """The level after that part of the sampling."""
        if 0 < percent < 1:
            return self.sigma(torch.tensor((1 - percent) * (len(self.sigmas) - 1))).item()
        return 999999999.9 if percent <= 0 else 0.0


class ModelSamplingDiscreteFlow(_Scheduled):
    """Rectified flow with a shift."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = dict(getattr(model_config, "sampling_settings", None) or {})
        self.set_parameters(settings.get("shift", 1.0), multiplier=settings.get("multiplier", 1000))

    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: float = 1000) -> None:
        """Another shift, number of levels and unit of time."""
        self.shift, self.multiplier = shift, multiplier
        self._take(flow(shift, multiplier, timesteps))


class ModelSamplingFlux(_Scheduled):
    """Rectified flow with Flux's exponential shift."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = dict(getattr(model_config, "sampling_settings", None) or {})
        self.set_parameters(settings.get("shift", 1.15))

    def set_parameters(self, shift: float = 1.15, timesteps: int = 10000) -> None:
        """Another shift and number of levels."""
        self.shift = shift
        self._take(flux(shift, timesteps))


class ModelSamplingContinuousEDM(_Scheduled):
    """Continuous levels with a log-uniform table."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings: dict[str, Any] = dict(getattr(model_config, "sampling_settings", None) or {})
        low, high = settings.get("sigma_min", 0.002), settings.get("sigma_max", 120.0)
        self.set_parameters(low, high, settings.get("sigma_data", 1.0))

    def set_parameters(self, sigma_min: float, sigma_max: float, sigma_data: float) -> None:
        """Another range."""
        self.sigma_data = sigma_data
        self._take(continuous_edm(sigma_min, sigma_max, sigma_data))


class NativeSampling(_Scheduled):
    """A native model's levels and prediction, as packs know them."""

    def __init__(self, native: ModelSampling) -> None:
        super().__init__()
        self._take(native)
        self.register_buffer("log_sigmas", native.sigmas.clamp(min=1e-9).log(), persistent=False)
        self.sigma_data = float(getattr(native.prediction, "sigma_data", 1.0))
        self.shift = getattr(native.clock, "shift", 1.0)
        self.multiplier = getattr(native.clock, "multiplier", 1000.0)
        self.num_timesteps = len(native.sigmas)

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network is shown."""
        return self.native.scaled_input(noise, sigma)

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the output stands for."""
        return self.native.denoised(model_input, sigma, model_output)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """The noisy latent at sigma."""
        return self.native.noise_scaling(sigma, noise, latent_image, max_denoise)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """What is handed out when sampling stops at sigma."""
        return self.native.inverse_noise_scaling(sigma, latent)


@dataclasses.dataclass(frozen=True)
class _PackPrediction:
    """A pack's object as a native prediction."""

    said: Any

    @property
    def process(self) -> Process:
        return FLOW_PROCESS if isinstance(self.said, CONST) else VE

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.said.calculate_input(_per_item(sigma, x), x)

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        return self.said.calculate_denoised(_per_item(sigma, x), output, x)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool) -> Tensor:
        return self.said.noise_scaling(sigma, noise, latent, max_denoise)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return self.said.inverse_noise_scaling(sigma, latent)


@dataclasses.dataclass(frozen=True)
class _PackClock:
    """A pack's object as a native clock."""

    said: Any

    @property
    def sigmas(self) -> Tensor:
        return self.said.sigmas

    def timestep(self, sigma: Tensor) -> Tensor:
        return self.said.timestep(sigma)

    def sigma(self, timestep: Tensor) -> Tensor:
        return self.said.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        return float(self.said.percent_to_sigma(percent))


def _per_item(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.to(x.device).expand(x.shape[0]) if sigma.ndim == 0 else sigma.to(x.device)


def sampling_of(said: Any) -> ModelSampling:
    """What our samplers take, of an object as packs know it."""
    if isinstance(said, NativeSampling):
        return said.native
    return ModelSampling(_PackPrediction(said), _PackClock(said))
