"""DPM-Solver++ for the reverse SDE (arXiv:2211.01095, section 5; k-diffusion). Time is lambda = −log ratio."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE
from app.diffusion.samplers.coordinates import in_ratio


@in_ratio
def dpmpp_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Iterator[Step]:
    """Single-step, second order. r says where in lambda the second evaluation lies; noise must be Brownian."""
    share = 1 / (2 * r)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            middle = sigma * (sigma_next / sigma) ** r
            u = _ancestral_to(x, denoised, sigma, middle, eta=eta, s_noise=s_noise, noise=noise)
            target = (1 - share) * denoised + share * denoise(u, middle)
            x = _ancestral_to(x, target, sigma, sigma_next, eta=eta, s_noise=s_noise, noise=noise)
        yield Step(i, sigma, x, denoised)


def _ancestral_to(
    x: Tensor, target: Tensor, sigma: Tensor, end: Tensor, *, eta: float, s_noise: float, noise: NoiseSource
) -> Tensor:
    step = VE.ancestral(sigma, end, eta)
    x = target + step.down / sigma * (x - target)
    return x + step.up * s_noise * noise(sigma, end) if step.up > 0 else x


@in_ratio
def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
) -> Iterator[Step]:
    """Two-step, second order."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            h = (sigma / sigma_next).log()
            whole = h * (1 + eta)
            x = torch.exp(-whole) * x - torch.expm1(-whole) * denoised
            if before is not None:
                h_before, denoised_before = before
                change = (denoised - denoised_before) * h / h_before
                half = -torch.expm1(-whole) / 2 if solver_type == "midpoint" else 1 + torch.expm1(-whole) / whole
                x = x + half * change
            x = with_noise(x, sigma, sigma_next, eta=eta, s_noise=s_noise, noise=noise)
            before = (h, denoised)
        yield Step(i, sigma, x, denoised)


@in_ratio
def dpmpp_3m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Three-step; the differences of the last three answers extrapolate the next (k-diffusion)."""
    past: list[tuple[Tensor, Tensor]] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            h = (sigma / sigma_next).log()
            whole = h * (1 + eta)
            x = torch.exp(-whole) * x - torch.expm1(-whole) * denoised
            phi_2 = 1 + torch.expm1(-whole) / whole
            if len(past) == 1:
                x = x + phi_2 * (denoised - past[0][1]) * h / past[0][0]
            elif len(past) == 2:
                (h_1, d_1), (h_2, d_2) = past
                r0, r1 = h_1 / h, h_2 / h
                first, second = (denoised - d_1) / r0, (d_1 - d_2) / r1
                bend = (first - second) / (r0 + r1)
                x = x + phi_2 * (first + bend * r0) - (phi_2 / whole - 0.5) * bend
            x = with_noise(x, sigma, sigma_next, eta=eta, s_noise=s_noise, noise=noise)
            past = [(h, denoised), *past][:2]
        yield Step(i, sigma, x, denoised)


def with_noise(
    x: Tensor, sigma: Tensor, sigma_next: Tensor, *, eta: float, s_noise: float, noise: NoiseSource | None
) -> Tensor:
    """x and the noise that the SDE gathers on the way: variance sigma_next²·(1 − e^(−2·eta·h))."""
    if eta <= 0 or s_noise <= 0 or noise is None:
        return x
    decay = (sigma_next / sigma) ** (2 * eta)
    return x + noise(sigma, sigma_next) * sigma_next * (1 - decay).sqrt() * s_noise
