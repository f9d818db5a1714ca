"""Schedules that visit the levels a model was trained on. float32, falling, with a final zero."""

from __future__ import annotations

import torch
from torch import Tensor

from app.diffusion.parameterization import ModelSampling
from app.diffusion.schedules.beta import beta_quantile
from app.diffusion.schedules.curves import closed

NEARLY_ZERO = 1e-5


def simple(sampling: ModelSampling, steps: int) -> Tensor:
    """Every N/steps-th level of the table, from the noisiest."""
    table = sampling.sigmas
    stride = len(table) / steps
    return closed(table[[-(1 + int(i * stride)) for i in range(steps)]])


def normal(sampling: ModelSampling, steps: int) -> Tensor:
    """Times uniform from first to last; where the last level is already zero, it is the final zero."""
    first, last = _time_range(sampling)
    if abs(sampling.sigma(last).item()) < NEARLY_ZERO:
        times = torch.linspace(first.item(), last.item(), steps + 1)
        return torch.cat([sampling.sigma(times[:-1]), torch.zeros(1)])
    return closed(sampling.sigma(torch.linspace(first.item(), last.item(), steps)))


def sgm_uniform(sampling: ModelSampling, steps: int) -> Tensor:
    """Times uniform from first to last, the last left out."""
    first, last = _time_range(sampling)
    return closed(sampling.sigma(torch.linspace(first.item(), last.item(), steps + 1)[:-1]))


def ddim_uniform(sampling: ModelSampling, steps: int) -> Tensor:
    """Table entries 1, 1 + stride, …, reversed; whole strides, so it can have more levels than steps."""
    table = sampling.sigmas
    if table[1].item() < NEARLY_ZERO:
        # The table has its own zero: it closes the schedule, and the stride is that of one level more.
        levels = table[1 :: max(len(table) // (steps + 1), 1)].flip(0)
        return closed(levels[:-1])
    return closed(table[1 :: max(len(table) // steps, 1)].flip(0))


def beta(sampling: ModelSampling, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Times at quantiles of a Beta distribution (arXiv:2407.12173); equal neighbours are dropped."""
    table = sampling.sigmas
    top = len(table) - 1
    levels: list[int] = []
    for i in range(steps):
        index = round(beta_quantile(1 - i / steps, alpha, beta) * top)
        if not levels or index != levels[-1]:
            levels.append(index)
    return closed(table[levels])


def turbo(sampling: ModelSampling, steps: int, denoise: float = 1.0) -> Tensor:
    """SD-Turbo's ten fixed times 999, 899, …, 99, started later by 1 − denoise."""
    skipped = 10 - int(10 * denoise)
    times = torch.arange(1, 11).flip(0)[skipped : skipped + steps] * 100 - 1
    return closed(sampling.sigma(times))


def _time_range(sampling: ModelSampling) -> tuple[Tensor, Tensor]:
    return sampling.timestep(sampling.sigmas[-1]), sampling.timestep(sampling.sigmas[0])
