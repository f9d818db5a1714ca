"""Methods of second order that evaluate more than once a step: Heun, Heun++ and the midpoint rule (DPM-Solver-2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process
from app.diffusion.samplers.churn import Churn


def heun(
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
    """Algorithm 2 of arXiv:2206.00364; the last step, to zero, is Euler's."""
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        ahead = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_next = (ahead - denoise(ahead, sigma_next)) / sigma_next
            ahead = x + (sigma_next - sigma) * (slope + slope_next) / 2
        x = ahead
        yield Step(i, sigma, x, denoised)


def heunpp2(
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
    """Heun++: looks up to two levels ahead and weighs the slopes by sigma over the first sigma. Of first order."""
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    first = sigmas[0]
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        slopes, weights = [(x - denoised) / sigma], [first / first]
        ahead, level = x, sigma
        # One slope for the last step, two for the one before, three elsewhere.
        beyond = sigmas[i + 1 : i + 3] if i + 3 < len(sigmas) else sigmas[i + 1 : -1]
        for further in beyond:
            ahead, level = ahead + (further - level) * slopes[-1], further
            slopes.append((ahead - denoise(ahead, level)) / level)
        weights = [level / (len(slopes) * first) for level in sigmas[i + 1 : i + len(slopes)]]
        own = 1 - sum(weights)
        x = x + (sigma_next - sigma) * sum(w * d for w, d in zip([own, *weights], slopes, strict=True))
        yield Step(i, sigma, x, denoised)


def dpm_2(
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
    """DPM-Solver-2 (arXiv:2206.00927) as the midpoint rule in sigma, its midpoint geometric."""
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, sigma, len(sigmas) - 1, noise)
        denoised = denoise(x, sigma)
        x = _midpoint(denoise, x, sigma, sigma_next, denoised)
        yield Step(i, sigma, x, denoised)


def dpm_2_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """The midpoint rule down to a lower level, then fresh noise."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        step = process.ancestral(sigma, sigma_next, eta)
        x = _midpoint(denoise, x, sigma, step.down, denoised)
        if step.up > 0:
            x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)


def _midpoint(denoise: Denoiser, x: Tensor, sigma: Tensor, end: Tensor, denoised: Tensor) -> Tensor:
    slope = (x - denoised) / sigma
    if end == 0:
        return x + (end - sigma) * slope
    middle = (sigma * end).sqrt()
    halfway = x + (middle - sigma) * slope
    return x + (end - sigma) * (halfway - denoise(halfway, middle)) / middle
