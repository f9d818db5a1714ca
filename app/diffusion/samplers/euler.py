"""Euler's method, plain and ancestral."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process
from app.diffusion.samplers.churn import Churn


def euler(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Algorithm 2 of arXiv:2206.00364 without the correction. Without churn this is DDIM with eta 0."""
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = x + (sigma_next - sigma) * (x - denoised) / sigma
        yield Step(i, sigma, x, denoised)


def euler_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Euler down to a lower level, then fresh noise. With eta 1 this is DDPM's ancestral step."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            step = process.ancestral(sigma, sigma_next, eta)
            x = x + (step.down - sigma) * (x - denoised) / sigma
            if step.up > 0:
                x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)
