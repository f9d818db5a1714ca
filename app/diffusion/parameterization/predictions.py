"""What a network's output means: noise, velocity, clean latent or flow.

Each prediction scales the network's input, turns its output into the clean latent, and mixes the starting noise.
sigma is 0-d or [B]; everything else is [B, C, …].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from app.diffusion.process import FLOW as FLOW_PROCESS
from app.diffusion.process import VE, Process


def against(sigma: Tensor, x: Tensor) -> Tensor:
    """sigma with the trailing axes that let it multiply x."""
    sigma = sigma.to(x.device)
    return sigma.reshape(-1, *(1 for _ in x.shape[1:])) if sigma.ndim else sigma


class Prediction(Protocol):
    """The meaning of a network's output."""

    @property
    def process(self) -> Process:
        """How noise and clean latent are mixed."""
        ...

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network is shown."""
        ...

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        ...

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool) -> Tensor:
        """The noisy latent at sigma; with max_denoise, as at the very start of the forward process."""
        ...

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """The latent that is handed out when sampling stops at sigma."""
        ...


@dataclass(frozen=True)
class UnitVariance:
    """Base of the predictions whose network sees x / sqrt(sigma² + sigma_data²) (arXiv:2206.00364, Table 1)."""

    sigma_data: float = 1.0

    @property
    def process(self) -> Process:
        return VE

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (against(sigma, x) ** 2 + self.sigma_data**2).sqrt()

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool) -> Tensor:
        sigma = against(sigma, noise)
        # At the maximum the training data still carried a little signal; unit variance there is what the model knows.
        return latent + noise * ((1 + sigma**2).sqrt() if max_denoise else sigma)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent


class NoisePrediction(UnitVariance):
    """The network predicts the noise."""

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        return x - output * against(sigma, x)


class VelocityPrediction(UnitVariance):
    """The network predicts v = alpha·noise − sigma·x0 (arXiv:2202.00512)."""

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        sigma, data = against(sigma, x), self.sigma_data
        total = sigma**2 + data**2
        return x * data**2 / total - output * sigma * data / total.sqrt()


class EdmPrediction(UnitVariance):
    """The network predicts the residual of Karras et al.'s preconditioning (arXiv:2206.00364, Table 1)."""

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        sigma, data = against(sigma, x), self.sigma_data
        total = sigma**2 + data**2
        return x * data**2 / total + output * sigma * data / total.sqrt()


class CleanPrediction(UnitVariance):
    """The network predicts the clean latent itself."""

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        return output


class ImageToImagePrediction(CleanPrediction):
    """The network maps an unscaled latent straight to the result."""

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class ConsistencyPrediction(UnitVariance):
    """A noise-predicting network as a consistency function, the identity at time 0 (arXiv:2310.04378, Appendix C).

    `time_of` gives the network's time at sigma; it is scaled by 10 against a data deviation of 0.5.
    """

    time_of: Callable[[Tensor], Tensor] = field(default=lambda sigma: sigma)

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        time = 10 * against(self.time_of(sigma), x)
        clean = x - output * against(sigma, x)
        return (clean * time / (time**2 + 0.25).sqrt()) + self.scaled_input(x, sigma) * 0.25 / (time**2 + 0.25)


class FlowPrediction:
    """Rectified flow: the network predicts noise − x0 on x = (1 − sigma)·x0 + sigma·noise (arXiv:2209.03003)."""

    @property
    def process(self) -> Process:
        return FLOW_PROCESS

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        return x - output * against(sigma, x)

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool) -> Tensor:
        sigma = against(sigma, noise)
        return sigma * noise + (1 - sigma) * latent

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent / (1 - against(sigma, latent))


class CosmosFlowPrediction(UnitVariance):
    """A flow network sampled in variance-exploding coordinates: its time is s = sigma / (sigma + 1)."""

    def scaled_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        sigma = against(sigma, x)
        return x * (1 - sigma / (sigma + 1))

    def denoised(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        sigma = against(sigma, x)
        s = sigma / (sigma + 1)
        return x * (1 - s) - output * s

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool) -> Tensor:
        return noise * against(sigma, noise) + latent


EPS = NoisePrediction()
V = VelocityPrediction()
X0 = CleanPrediction()
FLOW = FlowPrediction()
IMAGE_TO_IMAGE = ImageToImagePrediction()
COSMOS_FLOW = CosmosFlowPrediction()
