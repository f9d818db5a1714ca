"""Run a variance-exploding sampler on any process.

Divided by alpha, x = alpha·x0 + sigma·noise becomes x0 + ratio·noise. A sampler that is written for the second form
then serves flow models too, and its noise keeps its meaning: −log(ratio) is the half log signal-to-noise ratio.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.process import VE, Process

# Pure noise has no finite ratio; a flow starts this much below it. Its x is left as it is.
CLOSEST = 1e-4


def in_ratio(sampler: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
    """Give a sampler of x0 + ratio·noise the keyword `process`, and let it see only ratios."""

    @functools.wraps(sampler)
    def run(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, process: Process = VE, **options: Any) -> Iterator[Step]:
        if process is VE or len(sigmas) < 2:
            yield from sampler(denoise, x, sigmas, **options)
            return
        sigmas = away_from_pure_noise(sigmas, process)
        noise = options.get("noise")
        if noise is not None:
            options["noise"] = _translated(noise, process)

        def view(y: Tensor, ratio: Tensor) -> Tensor:
            sigma = process.sigma_of(ratio)
            return denoise(y * process.alpha(sigma), sigma)

        for step in sampler(view, x / process.alpha(sigmas[0]), process.ratio(sigmas), **options):
            alpha = process.alpha(sigmas[step.index + 1])
            yield Step(step.index, sigmas[step.index], step.x * alpha, step.denoised)

    return run


def away_from_pure_noise(sigmas: Tensor, process: Process) -> Tensor:
    """The same levels with a first one of pure noise moved to where its ratio is finite."""
    if process.alpha(sigmas[0]) > 0:
        return sigmas
    return torch.cat([(sigmas[:1] - CLOSEST).maximum(sigmas[1:2]), sigmas[1:]])


def _translated(noise: NoiseSource, process: Process) -> NoiseSource:
    return lambda ratio, ratio_next: noise(process.sigma_of(ratio), process.sigma_of(ratio_next))
