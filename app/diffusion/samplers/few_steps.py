"""Samplers that jump to the clean latent and noise it again: DDPM's chain, consistency models and LCM."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.noise import GaussianNoise
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


# (latent, width, height) → the latent in that size
Resize = Callable[[Tensor, int, int], Tensor]


def lcm_growing(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: GaussianNoise,
    resize: Resize,
    process: Process = VE,
    ratio: float = 1.0,
    growing_steps: int = -1,
) -> Iterator[Step]:
    """`lcm` whose latent grows on the way: after each of the first steps by an equal part, to `ratio` times its size.

    `growing_steps` are those steps; −1 stands for the first half of all, rounded up.
    """
    steps = len(sigmas) - 1
    growing = math.ceil(steps / 2) if growing_steps < 0 else min(growing_steps, steps)
    height, width = x.shape[-2:]
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        x = denoised
        if i < growing:
            factor = 1 + (ratio - 1) * (i + 1) / growing
            x = resize(x, max(1, round(width * factor)), max(1, round(height * factor)))
        if sigma_next > 0:
            x = process.alpha(sigma_next) * x + sigma_next * noise.shaped(x)(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)
