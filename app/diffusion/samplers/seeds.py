"""SEEDS (arXiv:2305.14267): exponential single-step solvers of the reverse SDE. Time is lambda = −log ratio.

With eta 0 these are the single-step exponential Runge-Kutta methods of DPM-Solver++. The exponentials below are those
of the SDE's drift, whose rate is 1 + eta.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.samplers.coordinates import in_ratio


class _Path:
    """The noise that the SDE gathers over the stages of one step (an Ornstein-Uhlenbeck path from zero)."""

    def __init__(self, noise: NoiseSource | None, start: Tensor, *, eta: float, s_noise: float):
        self._noise = noise if eta > 0 and s_noise > 0 else None
        self._level, self._eta, self._s_noise = start, eta, s_noise
        self._value: Tensor | float = 0.0

    def at(self, level: Tensor) -> Tensor | float:
        """The noise in x at this level, at or below the last one asked for."""
        if self._noise is None:
            return 0.0
        if level < self._level:
            decay = (level / self._level) ** self._eta
            self._value = self._value * decay + (1 - decay**2).sqrt() * self._noise(self._level, level)
            self._level = level
        return level * self._value * self._s_noise


def _phi_2(z: Tensor) -> Tensor:
    """1 + expm1(−z)/z, the exact weight over z of an answer that changes linearly in time."""
    return 1 + torch.expm1(-z) / z


@in_ratio
def seeds_2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    solver_type: Literal["phi_1", "phi_2"] = "phi_1",
) -> Iterator[Step]:
    """Two stages, the second at the part r of the step; phi_2 weighs them exactly for answers linear in time."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            path = _Path(noise, sigma, eta=eta, s_noise=s_noise)
            whole = (sigma / sigma_next).log() * (1 + eta)
            middle = sigma_next if r == 1 else sigma * (sigma_next / sigma) ** r
            u = torch.exp(-r * whole) * x - torch.expm1(-r * whole) * denoised + path.at(middle)
            change = denoise(u, middle) - denoised
            weight = _phi_2(whole) / r if solver_type == "phi_2" else -torch.expm1(-whole) / (2 * r)
            x = torch.exp(-whole) * x - torch.expm1(-whole) * denoised + weight * change + path.at(sigma_next)
        yield Step(i, sigma, x, denoised)


@in_ratio
def seeds_3(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Iterator[Step]:
    """Three stages, at the parts r_1 and r_2 of the step."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            path = _Path(noise, sigma, eta=eta, s_noise=s_noise)
            whole = (sigma / sigma_next).log() * (1 + eta)
            level_1, level_2 = (sigma * (sigma_next / sigma) ** r for r in (r_1, r_2))
            u = torch.exp(-r_1 * whole) * x - torch.expm1(-r_1 * whole) * denoised + path.at(level_1)
            change = (denoise(u, level_1) - denoised) * (r_2 / r_1)
            u = torch.exp(-r_2 * whole) * x - torch.expm1(-r_2 * whole) * denoised
            u = u + _phi_2(r_2 * whole) * change + path.at(level_2)
            change = (denoise(u, level_2) - denoised) / r_2
            x = torch.exp(-whole) * x - torch.expm1(-whole) * denoised
            x = x + _phi_2(whole) * change + path.at(sigma_next)
        yield Step(i, sigma, x, denoised)


def exp_heun_2_x0(denoise: Denoiser, x: Tensor, sigmas: Tensor, **options: object) -> Iterator[Step]:
    """Heun's method in exponential form, without noise: `seeds_2` with its second stage at the end of the step."""
    return seeds_2(denoise, x, sigmas, **{"eta": 0.0, "r": 1.0, "solver_type": "phi_2", **options})


def exp_heun_2_x0_sde(denoise: Denoiser, x: Tensor, sigmas: Tensor, **options: object) -> Iterator[Step]:
    """The same for the SDE."""
    return seeds_2(denoise, x, sigmas, **{"r": 1.0, "solver_type": "phi_2", **options})
