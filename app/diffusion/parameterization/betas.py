"""The discrete forward processes that networks were trained on, as tables of sigma. Computed in float64.

Names: CompVis calls scaled-linear "linear" and linear in beta "sqrt_linear"; both spellings below are CompVis's,
which is also what checkpoints' configurations say.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from app.errors import InvalidRequest

# Keeps the last sigma finite (about 4519) where zero terminal signal would make it infinite.
TERMINAL_SIGNAL = 4.8973451890853435e-08


def linear(count: int, start: float, end: float) -> Tensor:
    """Linear in sqrt(beta): the schedule of LDM and Stable Diffusion; diffusers' "scaled_linear"."""
    return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2


def sqrt_linear(count: int, start: float, end: float) -> Tensor:
    """Linear in beta (arXiv:2006.11239)."""
    return torch.linspace(start, end, count, dtype=torch.float64)


def sqrt(count: int, start: float, end: float) -> Tensor:
    """beta = sqrt of a line, CompVis's fourth choice."""
    return torch.linspace(start, end, count, dtype=torch.float64) ** 0.5


def cosine(count: int, start: float, end: float, offset: float = 8e-3) -> Tensor:
    """Nichol & Dhariwal 2021 (arXiv:2102.09672, Eq. 17); start and end are not used."""
    times = torch.arange(count + 1, dtype=torch.float64) / count + offset
    signal = torch.cos(times / (1 + offset) * math.pi / 2) ** 2
    return (1 - signal[1:] / signal[:-1]).clamp(0, 0.999)


SCHEDULES: dict[str, Callable[[int, float, float], Tensor]] = {
    "linear": linear,
    "sqrt_linear": sqrt_linear,
    "sqrt": sqrt,
    "cosine": cosine,
}


def checked(betas: Tensor) -> Tensor:
    """betas [T] as float64; raises InvalidRequest unless 0 < beta ≤ 1 and they never fall."""
    betas = betas.to(torch.float64)
    if betas.ndim != 1 or not len(betas) or not bool(((betas > 0) & (betas <= 1)).all()):
        raise InvalidRequest("The betas of a schedule lie between 0 and 1.", remedy="Check the first and last beta.")
    if bool((betas.diff() < 0).any()):
        raise InvalidRequest("The betas of a schedule never fall.", remedy="Sort them, smallest first.")
    return betas


def signal_of(betas: Tensor) -> Tensor:
    """alpha-bar: the product of 1 − beta, float64 [T]."""
    return torch.cumprod(1 - betas, dim=0)


def zero_terminal(signal: Tensor) -> Tensor:
    """Shift and stretch sqrt(alpha-bar) so that the last is 0 and the first is kept (arXiv:2305.08891, Alg. 1).

    The last entry is then set just above zero, so that its sigma is finite.
    """
    root = signal.sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    signal = root**2
    signal[-1] = TERMINAL_SIGNAL
    return signal


def sigmas_of(signal: Tensor) -> Tensor:
    """sigma = sqrt((1 − alpha-bar) / alpha-bar), float64 [T], rising."""
    return ((1 - signal) / signal).sqrt()
