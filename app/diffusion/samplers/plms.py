"""The samplers of the first latent diffusion release, with their options. Levels are those of noise prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.noise import dropped, repeated, tempered
from app.errors import InvalidRequest

# How the last four predictions of the noise are weighed (arXiv:2202.09778, Eq. 12 and its lower orders).
WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def plms(denoise: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Pseudo linear multistep (arXiv:2202.09778): DDIM along Adams-Bashforth's noise; the first step calls twice."""
    past: list[Tensor] = []
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        noise = (x - denoised) / sigma
        if not past and sigma_next > 0:
            ahead = x + (sigma_next - sigma) * noise
            mixed = (noise + (ahead - denoise(ahead, sigma_next)) / sigma_next) / 2
        else:
            latest = [noise, *past[:3]]
            mixed = sum((w * e for w, e in zip(WEIGHTS[len(latest) - 1], latest, strict=True)), x * 0)
        past = [noise, *past[:2]]
        x = x + (sigma_next - sigma) * mixed
        yield Step(i, sigma, x, denoised)


SamplerFunction = Callable[..., Iterator[Step]]


def with_options(
    sampler: SamplerFunction,
    *,
    temperature: float | Sequence[float] = 1.0,
    noise_dropout: float = 0.0,
    repeat_noise: bool = False,
    quantise: Callable[[Tensor], Tensor] | None = None,
) -> SamplerFunction:
    """A sampler whose noise and whose model's answers are treated on their way.

    `temperature` scales the noise of the steps, of all or of each in turn, `noise_dropout` leaves out that share of it,
    `repeat_noise` gives all items of a batch the first one's; `quantise` puts each clean latent into the codebook.
    """

    def run(denoise: Denoiser, x: Tensor, sigmas: Tensor, **options: Any) -> Iterator[Step]:
        scale = temperature if isinstance(temperature, float | int) else _in_turn(temperature, sigmas)
        noise: NoiseSource | None = options.get("noise")
        if noise is not None:
            noise = repeated(noise) if repeat_noise else noise
            noise = dropped(noise, noise_dropout) if noise_dropout > 0 else noise
            options["noise"] = tempered(noise, scale)
        return sampler(denoise if quantise is None else _through(quantise, denoise), x, sigmas, **options)

    return run


def _through(quantise: Callable[[Tensor], Tensor], denoise: Denoiser) -> Denoiser:
    return lambda x, sigma: quantise(denoise(x, sigma))


def _in_turn(temperatures: Sequence[float], sigmas: Tensor) -> Callable[[Tensor], float]:
    """The temperature of the step that a level lies in. Raises InvalidRequest unless there is one for each step."""
    steps = len(sigmas) - 1
    if len(temperatures) != steps:
        raise InvalidRequest(
            f"There are {len(temperatures)} temperatures for {steps} steps.", remedy="List one for each step, or none."
        )
    return lambda sigma: temperatures[min(int((sigmas[1:] >= sigma).sum()), steps - 1)]
