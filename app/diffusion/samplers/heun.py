"""Second-order methods that evaluate twice a step: Heun and the midpoint rule of DPM-Solver-2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
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
