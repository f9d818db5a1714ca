"""Schedules that are curves between two noise levels, independent of any model. float32 [steps + 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def closed(levels: Tensor) -> Tensor:
    """levels [n] and a final zero."""
    return torch.cat([levels, levels.new_zeros(1)])


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Eq. 5 of arXiv:2206.00364."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return closed((high + ramp * (low - high)) ** rho)


def exponential(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Log-uniform levels."""
    return closed(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """A polynomial in log sigma; rho 1 is `exponential`."""
    ramp = torch.linspace(1, 0, steps) ** rho
    low, high = math.log(sigma_min), math.log(sigma_max)
    return closed((ramp * (high - low) + low).exp())


def laplace(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution over log sigma (arXiv:2407.03297)."""
    middle = 0.5 - torch.linspace(0, 1, steps)
    log_sigma = mu - beta * torch.sign(middle) * torch.log(1 - 2 * middle.abs() + 1e-5)
    return closed(log_sigma.exp().clamp(sigma_min, sigma_max))


def variance_preserving(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, epsilon: float = 1e-3) -> Tensor:
    """The continuous VP process (arXiv:2011.13456, Eq. 32) at times uniform from 1 to epsilon."""
    times = torch.linspace(1, epsilon, steps)
    return closed((beta_d * times**2 / 2 + beta_min * times).expm1().sqrt())


def kl_optimal(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Uniform in atan(sigma) (Align Your Steps, arXiv:2404.14507, Theorem 3.1)."""
    part = torch.linspace(0, 1, steps)
    return closed((part * math.atan(sigma_min) + (1 - part) * math.atan(sigma_max)).tan())


def linear_quadratic(steps: int, sigma_max: float, threshold: float = 0.025, linear_steps: int | None = None) -> Tensor:
    """Noise falls linearly by `threshold` over the first half of the steps, then quadratically to zero (Mochi)."""
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * sigma_max
    first = steps // 2 if linear_steps is None else linear_steps
    rest = steps - first
    line = torch.arange(first, dtype=torch.float64) * threshold / first
    slope = threshold / first
    # The parabola through (first, threshold) and (steps, 1) that starts with the slope of the line.
    bend = (1 - threshold - slope * rest) / rest**2
    k = torch.arange(rest, dtype=torch.float64)
    removed = torch.cat([line, threshold + slope * k + bend * k**2, torch.ones(1, dtype=torch.float64)])
    return ((1 - removed) * sigma_max).float()
