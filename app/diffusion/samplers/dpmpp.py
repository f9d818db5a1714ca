"""DPM-Solver++ without noise (arXiv:2211.01095)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Algorithm 2: two-step, data prediction, time lambda = −log sigma; first and last step are of first order."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        target = denoised
        ratio = sigma_next / sigma
        if before is not None and sigma_next > 0:
            h_before, denoised_before = before
            r = h_before / -ratio.log()
            target = (1 + 1 / (2 * r)) * denoised - denoised_before / (2 * r)
        x = ratio * x + (1 - ratio) * target
        before = (-ratio.log(), denoised)
        yield Step(i, sigma, x, denoised)
