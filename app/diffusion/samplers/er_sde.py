"""Extended reverse-time SDE solvers (arXiv:2309.06169), variance-exploding form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.samplers.coordinates import in_ratio
from app.diffusion.samplers.quadrature import integral
from app.errors import InvalidRequest

NoiseScaler = Callable[[float], float]


def er_sde_5(sigma: float) -> float:
    """The paper's noise scale 5: sigma·(exp(sigma^0.3) + 10)."""
    return sigma * (math.exp(sigma**0.3) + 10)


def scaler_named(solver_type: str, eta: float = 1.0) -> NoiseScaler:
    """The scale of a solver type: "ER-SDE", "Reverse-time SDE" (sigma^(1 + eta)) or "ODE" (no fresh noise)."""
    if solver_type == "ODE" or eta == 0:
        return lambda sigma: sigma
    if solver_type == "Reverse-time SDE":
        return lambda sigma: sigma ** (1 + eta)
    if solver_type == "ER-SDE":
        return lambda sigma: sigma * (math.exp(eta * sigma**0.3) + 10)
    raise InvalidRequest(
        f"No ER-SDE solver is called {solver_type!r}.", remedy="Choose ER-SDE, Reverse-time SDE or ODE."
    )


@in_ratio
def er_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    s_noise: float = 1.0,
    max_stage: int = 3,
    noise_scaler: NoiseScaler = er_sde_5,
) -> Iterator[Step]:
    """Up to third order by the Taylor expansion of the last answers. The scaler decides how much noise is fresh."""
    levels: list[float] = []
    answers: list[Tensor] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        else:
            levels, answers = [sigma.item(), *levels][:max_stage], [denoised, *answers][:max_stage]
            x, kept = _drift(x, levels, answers, sigma_next.item(), noise_scaler)
            fresh = (sigma_next**2 - (sigma * kept) ** 2).clamp(min=0).sqrt()
            if s_noise > 0 and noise is not None:
                x = x + noise(sigma, sigma_next) * s_noise * fresh
        yield Step(i, sigma, x, denoised)


def _drift(
    x: Tensor, levels: list[float], answers: list[Tensor], end: float, scaler: NoiseScaler
) -> tuple[Tensor, float]:
    """x at `end` before fresh noise, and the part of the old noise that is kept."""
    start, length = levels[0], end - levels[0]
    kept = scaler(end) / scaler(start)
    x = kept * x + (1 - kept) * answers[0]
    if len(answers) > 1:
        slope = (answers[0] - answers[1]) / (start - levels[1])
        flat = integral(lambda s: 1 / scaler(s), end, start)
        x = x + (length + flat * scaler(end)) * slope
        if len(answers) > 2:
            slope_before = (answers[1] - answers[2]) / (levels[1] - levels[2])
            bend = (slope - slope_before) * 2 / (start - levels[2])
            rising = integral(lambda s: (s - start) / scaler(s), end, start)
            x = x + (length**2 / 2 + rising * scaler(end)) * bend
    return x, kept
