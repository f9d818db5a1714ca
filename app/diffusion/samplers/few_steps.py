"""Samplers that jump to the clean latent and noise it again: DDPM's chain, consistency models and LCM."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process
from app.diffusion.samplers.coordinates import in_ratio


@in_ratio
def ddpm(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: NoiseSource, s_noise: float = 1.0) -> Iterator[Step]:
    """The posterior q(x_next | x, x0) of arXiv:2006.11239, Eq. 6-7, on any grid."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        kept = (sigma_next / sigma) ** 2
        x = denoised + kept * (x - denoised)
        if sigma_next > 0:
            x = x + noise(sigma, sigma_next) * s_noise * sigma_next * (1 - kept).sqrt()
        yield Step(i, sigma, x, denoised)


def lcm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Multistep consistency sampling (arXiv:2303.01469, Alg. 1; arXiv:2310.04378). Wants a consistency function."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        x = denoised
        if sigma_next > 0:
            x = process.alpha(sigma_next) * x + sigma_next * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)
