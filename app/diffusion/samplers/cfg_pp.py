"""CFG++ (arXiv:2406.08070): the guided answer is the target, the unconditional one gives the direction of the noise.

Each asks its denoiser for both with `split`. With d = guided and u = unconditional, u's noise (x − u)/sigma replaces
d's; as a whole this is the plain method on x + d − u.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from app.diffusion.denoiser import NoiseSource, SplitDenoiser, Step
from app.diffusion.process import VE, Process
from app.diffusion.samplers.coordinates import away_from_pure_noise
from app.diffusion.samplers.dpmpp import halfway
from app.diffusion.samplers.res import res_weights


def euler_ancestral_cfg_pp(
    denoise: SplitDenoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """DDIM with eta, its noise taken from the unconditional answer."""
    sigmas = away_from_pure_noise(sigmas, process)
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        direction = (x - process.alpha(sigma) * unconditional) / sigma
        alpha = process.alpha(sigma_next)
        step = VE.ancestral(process.ratio(sigma), process.ratio(sigma_next), eta)
        x = alpha * (denoised + step.down * direction)
        if step.up > 0 and noise is not None:
            x = x + alpha * step.up * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)


def euler_cfg_pp(denoise: SplitDenoiser, x: Tensor, sigmas: Tensor, *, process: Process = VE) -> Iterator[Step]:
    """DDIM without noise of its own."""
    return euler_ancestral_cfg_pp(denoise, x, sigmas, process=process, eta=0.0)


def euler_twice_guided(denoise: SplitDenoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """Euler's method towards 2·d − u, where the way from the unconditional answer to the guided one counts twice."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        target = denoised + (denoised - unconditional)
        x = x + (sigma_next - sigma) * (x - target) / sigma
        yield Step(i, sigma, x, denoised)


def dpmpp_2s_ancestral_cfg_pp(
    denoise: SplitDenoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """DPM-Solver++(2S) from x + d − u."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        step = process.ancestral(sigma, sigma_next, eta)
        if step.down == 0:
            x = denoised
        else:
            moved = x + denoised - unconditional
            middle = halfway(process, sigma, step.down)
            u = middle / sigma * moved + (1 - middle / sigma) * denoised
            x = step.down / sigma * moved + (1 - step.down / sigma) * denoise(u, middle)
        if step.up > 0:
            x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        yield Step(i, sigma, x, denoised)


def dpmpp_2m_cfg_pp(denoise: SplitDenoiser, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """DPM-Solver++(2M) whose extrapolation starts at the previous unconditional answer."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        ratio = sigma_next / sigma
        x = denoised + ratio * (x - unconditional)
        if before is not None and sigma_next > 0:
            h_before, unconditional_before = before
            r = h_before / -ratio.log()
            x = x + (1 - ratio) / (2 * r) * (denoised - unconditional_before)
        before = (-ratio.log(), unconditional)
        yield Step(i, sigma, x, denoised)


def res_multistep_ancestral_cfg_pp(
    denoise: SplitDenoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    process: Process = VE,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """RES multistep from x + d − u, on the unconditional answers."""
    before: tuple[Tensor, Tensor] | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        step = process.ancestral(sigma, sigma_next, eta)
        if step.down == 0 or before is None:
            x = denoised + step.down / sigma * (x - unconditional)
        else:
            newest, older = res_weights((sigma / step.down).log(), before[0])
            x = step.down / sigma * (x + denoised - unconditional) + newest * unconditional + older * before[1]
        if step.up > 0 and noise is not None:
            x = step.scale * x + step.up * s_noise * noise(sigma, sigma_next)
        before = ((sigma / step.down).log(), unconditional)
        yield Step(i, sigma, x, denoised)


def res_multistep_cfg_pp(denoise: SplitDenoiser, x: Tensor, sigmas: Tensor, *, process: Process = VE) -> Iterator[Step]:
    """The same without noise."""
    return res_multistep_ancestral_cfg_pp(denoise, x, sigmas, process=process, eta=0.0)


def gradient_estimation_cfg_pp(
    denoise: SplitDenoiser, x: Tensor, sigmas: Tensor, *, ge_gamma: float = 2.0
) -> Iterator[Step]:
    """Gradient estimation whose slope comes from the unconditional answer."""
    before: Tensor | None = None
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised, unconditional = denoise.split(x, sigma)
        slope = (x - unconditional) / sigma
        x = denoised + sigma_next * slope
        if before is not None and sigma_next > 0:
            x = x + (sigma_next - sigma) * (ge_gamma - 1) * (slope - before)
        before = slope
        yield Step(i, sigma, x, denoised)
