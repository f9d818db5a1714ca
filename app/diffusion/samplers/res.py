"""Samplers that correct a step with the previous answer: RES multistep and gradient estimation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process


def res_weights(h: Tensor, h_before: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of the newest and the previous answer in a second-order exponential step of length h.

    phi_1 and phi_2 as in arXiv:2308.02157, Eq. 8.
    """
    phi_1 = torch.expm1(-h) / -h
    phi_2 = (phi_1 - 1) / -h
    older = -phi_2 * h / h_before
    return h * (phi_1 - older), h * older


def res_multistep(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    process: Process = VE,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Second-order exponential multistep (arXiv:2308.02157), ancestral where eta > 0."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        step = process.ancestral(sigma, sigma_next, eta)
        if step.down == 0 or before is None:
            x = denoised + step.down / sigma * (x - denoised)
        else:
            newest, older = res_weights((sigma / step.down).log(), before[0])
            x = step.down / sigma * x + newest * denoised + older * before[1]
        if step.up > 0 and noise is not None:
            x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        # The previous step's own length, with the level it went down to before it was noised again.
        before = ((sigma / step.down).log(), denoised)
        yield Step(i, sigma, x, denoised)


def res_multistep_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """RES multistep with fresh noise after each step."""
    return res_multistep(denoise, x, sigmas, noise=noise, process=process, eta=eta, s_noise=s_noise)


def gradient_estimation(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, ge_gamma: float = 2.0) -> Iterator[Step]:
    """Euler on an extrapolated slope (Permenter & Yuan 2024, arXiv:2306.04848)."""
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        if sigma_next == 0:
            x = denoised
        else:
            extra = 0.0 if before is None else (ge_gamma - 1) * (slope - before)
            x = x + (sigma_next - sigma) * (slope + extra)
        before = slope
        yield Step(i, sigma, x, denoised)
