"""SA-Solver: stochastic Adams predictor and corrector (arXiv:2309.05019). Time is lambda = −log ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.samplers.coordinates import in_ratio
from app.diffusion.samplers.quadrature import adams_weights

# (sigma of the level that is reached) → how stochastic the step is; 0 is the flow's ODE, 1 the reverse SDE
Tau = Callable[[float], float]


def always_stochastic(sigma: float) -> float:
    """tau = 1 everywhere."""
    return 1.0


def stochastic_between(start_sigma: float, end_sigma: float, eta: float = 1.0) -> Tau:
    """tau = eta for levels from start_sigma down to end_sigma and 0 outside, as the paper recommends."""
    return lambda sigma: eta if end_sigma <= sigma <= start_sigma else 0.0


@in_ratio
def sa_solver(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    tau: Tau = always_stochastic,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
) -> Iterator[Step]:
    """Predict, evaluate, correct (and with PECE evaluate again). The corrector reuses the predictor's noise.

    A list that does not end in zero costs an evaluation more, as the state at its last level is corrected too.
    """
    last = len(sigmas) - 1
    to_end = sigmas[-1] == 0
    predicted, base, added = x, x, torch.zeros_like(x)
    times: list[float] = []
    answers: list[Tensor] = []

    def corrected(i: int, sigma: Tensor) -> Tensor:
        order = min(corrector_order, i + 1, last - i + 1 if to_end else i + 1)
        return _adams(base, times[1], times[0], tau(sigma.item()), times[:order], answers[:order]) + added

    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(predicted, sigma)
        times, answers = [-math.log(sigma), *times], [denoised, *answers]
        if i > 0 and corrector_order > 0:
            predicted = corrected(i, sigma)
            if use_pece:
                denoised = answers[0] = denoise(predicted, sigma)
        base = predicted
        if sigma_next == 0:
            predicted = denoised
        else:
            order = min(predictor_order, i + 1, last - i if to_end else i + 1)
            stochastic = tau(sigma_next.item())
            end = -math.log(sigma_next)
            predicted = _adams(base, times[0], end, stochastic, times[:order], answers[:order])
            added = _noise_of(noise, sigma, sigma_next, stochastic, s_noise, like=x)
            predicted = predicted + added
            if i == last - 1 and corrector_order > 0:
                times, answers = [end, *times], [denoise(predicted, sigma_next), *answers]
                predicted = corrected(last, sigma_next)
        keep = max(predictor_order, corrector_order)
        times, answers = times[:keep], answers[:keep]
        yield Step(i, sigma, predicted, denoised)


def sa_solver_pece(denoise: Denoiser, x: Tensor, sigmas: Tensor, **options: object) -> Iterator[Step]:
    """`sa_solver` with a second evaluation after each correction."""
    return sa_solver(denoise, x, sigmas, **{"use_pece": True, **options})


def _adams(x: Tensor, start: float, end: float, tau: float, times: list[float], answers: list[Tensor]) -> Tensor:
    """From start to end in lambda with the answers' interpolating polynomial, exact in the linear part."""
    rate = 1 + tau**2
    weights = adams_weights(times, start, end, lambda t: rate * math.exp(-rate * (end - t)))
    drift = sum(w * d for w, d in zip(weights, answers, strict=True))
    return math.exp(-rate * (end - start)) * x + drift


def _noise_of(
    noise: NoiseSource | None, sigma: Tensor, sigma_next: Tensor, tau: float, s_noise: float, *, like: Tensor
) -> Tensor:
    if noise is None or tau <= 0 or s_noise <= 0:
        return torch.zeros_like(like)
    decay = (sigma_next / sigma) ** (2 * tau**2)
    return noise(sigma, sigma_next) * sigma_next * (1 - decay).sqrt() * s_noise
