"""Schedules that are curves between two noise levels, independent of any model. float32 [steps + 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from app.errors import InvalidRequest


def closed(levels: Tensor) -> Tensor:
    """levels [n] and a final zero."""
    return torch.cat([levels, levels.new_zeros(1)])


def positive(*levels: float) -> None:
    """Raise InvalidRequest unless all levels are above zero, where a logarithm needs them."""
    if min(levels) <= 0:
        raise InvalidRequest(f"A noise level of {min(levels)} is not above zero.", remedy="Raise sigma_min.")


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Eq. 5 of arXiv:2206.00364."""
    if rho <= 0:
        raise InvalidRequest(f"Karras's rho of {rho} is not above zero.", remedy="Choose 7, as in the paper.")
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return closed((high + ramp * (low - high)) ** rho)


def exponential(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Log-uniform levels."""
    positive(sigma_min, sigma_max)
    return closed(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """A polynomial in log sigma; rho 1 is `exponential`."""
    positive(sigma_min, sigma_max)
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


# The optimised schedules of Align Your Steps (arXiv:2404.14507), as published for ten steps.
ALIGN_YOUR_STEPS = {
    "SD1": (
        14.6146412293,
        6.4745760956,
        3.8636745985,
        2.694615152,
        1.8841921177,
        1.3943805092,
        0.9642583904,
        0.6523686016,
        0.3977456272,
        0.1515232662,
        0.0291671582,
    ),
    "SDXL": (
        14.6146412293,
        6.3184485287,
        3.7681790315,
        2.1811480769,
        1.3405244945,
        0.8620721141,
        0.5550693289,
        0.3798540708,
        0.2332364134,
        0.1114188177,
        0.0291671582,
    ),
    "SVD": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


def align_your_steps(model_type: str, steps: int, denoise: float = 1.0) -> Tensor:
    """The published levels, interpolated in log sigma to steps + 1 of them, the last one set to zero.

    denoise < 1 keeps the last round(steps·denoise) steps; none at 0. Raises InvalidRequest for an unknown type.
    """
    return _published("Align Your Steps", ALIGN_YOUR_STEPS, model_type, steps, denoise)


# The searched schedules of Optimal Stepsize (arXiv:2503.21774), as published for 10, 20 and 40 steps.
OPTIMAL_STEPS = {
    "FLUX": (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    "Wan": (
        *(1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973),
        *(0.968, 0.96, 0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001),
    ),
    "Chroma": (
        *(0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943),
        *(0.931, 0.917, 0.9, 0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646),
        *(0.599, 0.55, 0.501, 0.451, 0.402, 0.355, 0.311, 0.27, 0.232, 0.199, 0.169),
        *(0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001),
    ),
}


def optimal_steps(model_type: str, steps: int, denoise: float = 1.0) -> Tensor:
    """As `align_your_steps`, for flow models."""
    return _published("Optimal Steps", OPTIMAL_STEPS, model_type, steps, denoise)


def _published(name: str, tables: Mapping[str, Sequence[float]], model_type: str, steps: int, denoise: float) -> Tensor:
    if model_type not in tables:
        known = ", ".join(tables)
        raise InvalidRequest(f"{name} has no levels for {model_type!r}.", remedy=f"Choose one of: {known}.")
    return interpolated(tables[model_type], steps, denoise)


def interpolated(published: Sequence[float], steps: int, denoise: float = 1.0) -> Tensor:
    """Levels, interpolated in log sigma to steps + 1 of them, the last one set to zero.

    denoise < 1 keeps the last round(steps·denoise) steps; none at 0.
    """
    kept = round(steps * denoise) if denoise < 1 else steps
    if kept < 1:
        return torch.zeros(0)
    known_logs = torch.tensor(published, dtype=torch.float64).log()
    place = torch.linspace(0, len(known_logs) - 1, steps + 1, dtype=torch.float64)
    low = place.floor().long().clamp(max=len(known_logs) - 2)
    levels = torch.lerp(known_logs[low], known_logs[low + 1], place - low).exp().float()
    return closed(levels[-(kept + 1) : -1])


def shifted_by_tokens(
    steps: int,
    tokens: int = 4096,
    *,
    max_shift: float = 2.05,
    base_shift: float = 0.95,
    stretch: bool = True,
    terminal: float = 0.1,
) -> Tensor:
    """LTX-Video's flow schedule: the shift grows linearly from 1024 to 4096 latent tokens.

    `stretch` then scales the clean part so that the last level above zero is `terminal`.
    """
    shift = base_shift + (max_shift - base_shift) * (tokens - 1024) / (4096 - 1024)
    even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]
    levels = math.exp(shift) / (math.exp(shift) + 1 / even - 1)
    if stretch and steps > 1:
        levels = 1 - (1 - levels) * (1 - terminal) / (1 - levels[-1])
    return closed(levels.float())
