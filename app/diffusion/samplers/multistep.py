"""Adams-Bashforth methods on the slope d = (x − denoised)/sigma: LMS, iPNDM and DEIS."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step
from app.diffusion.samplers.quadrature import adams_weights

# (levels so far, newest first; the next level) → weights of the slopes at those levels
WeightRule = Callable[[list[float], float], tuple[float, ...]]

# Adams-Bashforth of orders 1 to 4 on an even grid, newest slope first.
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)

# Steps up to which a slope of third degree says less than one of second (measured on a mixture of Gaussians).
FEW_STEPS = 12


def _adams(denoise: Denoiser, x: Tensor, sigmas: Tensor, order: int, rule: WeightRule) -> Iterator[Step]:
    slopes: list[Tensor] = []
    levels: list[float] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        slopes = [(x - denoised) / sigma, *slopes][:order]
        levels = [sigma.item(), *levels][:order]
        if sigma_next == 0:
            x = denoised
        else:
            x = x + sum(w * d for w, d in zip(rule(levels, sigma_next.item()), slopes, strict=True))
        yield Step(i, sigma, x, denoised)


def lms(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, order: int = 4) -> Iterator[Step]:
    """Linear multistep in sigma with weights for the actual grid (k-diffusion)."""
    return _adams(denoise, x, sigmas, order, lambda levels, end: adams_weights(levels, levels[0], end))


def ipndm(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, max_order: int = 4) -> Iterator[Step]:
    """Improved PNDM (arXiv:2204.13902): the even grid's weights on whatever grid is given."""

    def even(levels: list[float], end: float) -> tuple[float, ...]:
        return tuple((end - levels[0]) * w for w in ADAMS_BASHFORTH[len(levels) - 1])

    return _adams(denoise, x, sigmas, min(max_order, 4), even)


def deis(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, max_order: int = 3) -> Iterator[Step]:
    """DEIS tAB (arXiv:2204.13902): the slope is a polynomial in the time of a variance-preserving process.

    That process is fixed to reach sigma 0.002 at time 0.001 and 80 at time 1, as in the reference code.
    """
    low, high, first = math.log1p(0.002**2), math.log1p(80.0**2), 1e-3
    beta_d = 2 * (low / first - high) / (first - 1)
    beta_min = high - beta_d / 2

    def time(sigma: float) -> float:
        return (math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(sigma**2)) - beta_min) / beta_d

    def speed(t: float) -> float:
        grown = math.exp(beta_d * t**2 / 2 + beta_min * t)
        return grown * (beta_d * t + beta_min) / (2 * math.sqrt(grown - 1))

    def tabulated(levels: list[float], end: float) -> tuple[float, ...]:
        times = [time(level) for level in levels]
        return adams_weights(times, times[0], time(end), speed)

    return _adams(denoise, x, sigmas, max_order, tabulated)


def ipndm_v(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, max_order: int = 4) -> Iterator[Step]:
    """iPNDM with weights for the actual grid: the slope is a polynomial in log sigma.

    The published variable-step weights agree with Adams-Bashforth on even grids only, and lose their order elsewhere.
    Exact weights of a polynomial in sigma keep it (`lms`), but take two to three times the error of the published ones
    up to 32 steps; slopes of denoisers are smoother over log sigma.
    """
    order = min(max_order, 4 if len(sigmas) - 1 > FEW_STEPS else 3)

    def logarithmic(levels: list[float], end: float) -> tuple[float, ...]:
        places = [math.log(level) for level in levels]
        return adams_weights(places, places[0], math.log(end), math.exp)

    return _adams(denoise, x, sigmas, order, logarithmic)
