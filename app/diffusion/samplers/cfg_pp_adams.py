"""CFG++ with a memory of one step: ComfyUI's `cfgpp_ud10_ab` (2026), which no paper describes.

An Euler step of CFG++ (arXiv:2406.08070) is bent twice by what the step before it knew. Its unconditional noise is
extrapolated by a tenth of the way ("ud10"), and a quarter of what Adams-Bashforth's second order would add is added
("ab"). The jump to zero goes to where the line through the last two answers meets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step, both_answers
from app.diffusion.process import VE, Process


@dataclass(frozen=True, slots=True)
class _Before:
    """What a step leaves to the next: its level, answer, unconditional noise and slope, before any of them was bent."""

    sigma: Tensor
    denoised: Tensor
    noise: Tensor
    slope: Tensor

    def growth(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """How much longer than the step to sigma the one from there to sigma_next is."""
        return (sigma_next - sigma) / (sigma - self.sigma)


def cfgpp_ud10_ab(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    process: Process = VE,
    noise_weight: float = 0.1,
    slope_weight: float = 0.25,
) -> Iterator[Step]:
    """One evaluation a step, no noise of its own; where there is no unconditional answer, the answer stands for it."""
    before: _Before | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = both_answers(denoise, x, sigma)
        noise = ahead = (x - process.alpha(sigma) * unconditional) / sigma
        if before is not None:
            ahead = noise + noise_weight * before.growth(sigma, sigma_next) * (noise - before.noise)
        stepped = process.alpha(sigma_next) * denoised + sigma_next * ahead
        slope = (stepped - x) / (sigma_next - sigma)
        if before is None:
            x = stepped
        elif sigma_next == 0:
            x = denoised + sigma / (before.sigma - sigma) * (denoised - before.denoised)
        else:
            bend = (sigma_next - sigma) * before.growth(sigma, sigma_next) / 2
            x = stepped + slope_weight * bend * (slope - before.slope)
        before = _Before(sigma, denoised, noise, slope)
        yield Step(i, sigma, x, denoised)
