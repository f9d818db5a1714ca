"""DPM-Solver++ (arXiv:2211.01095) without noise or with ancestral noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process
from app.diffusion.samplers.coordinates import CLOSEST


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Algorithm 2: two-step, data prediction, time lambda = −log sigma; first and last step are of first order."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        target = denoised
        ratio = sigma_next / sigma
        if before is not None and sigma_next > 0:
            h_before, denoised_before = before
            r = h_before / -ratio.log()
            target = denoised + (denoised - denoised_before) / (2 * r)
        x = ratio * x + (1 - ratio) * target
        before = (-ratio.log(), denoised)
        yield Step(i, sigma, x, denoised)


def dpmpp_2s_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Algorithm 1, single-step of second order, down to a lower level; then fresh noise."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        step = process.ancestral(sigma, sigma_next, eta)
        if step.down == 0:
            x = denoised
        else:
            middle = halfway(process, sigma, step.down)
            u = middle / sigma * x + (1 - middle / sigma) * denoised
            x = step.down / sigma * x + (1 - step.down / sigma) * denoise(u, middle)
        if step.up > 0:
            x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)


def halfway(process: Process, sigma: Tensor, end: Tensor) -> Tensor:
    """The level in the middle of the log signal-to-noise ratio; close to pure noise if sigma is pure noise."""
    if process.alpha(sigma) <= 0:
        return torch.full_like(sigma, 1 - CLOSEST)
    return process.sigma_of((process.ratio(sigma) * process.ratio(end)).sqrt())
