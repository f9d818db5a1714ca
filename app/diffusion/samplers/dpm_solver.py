"""DPM-Solver (arXiv:2206.00927) with its own steps: a fixed number of evaluations, or error control.

Time is t = −log sigma; both read only the first and the last positive level of a schedule.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, NoiseSource, Step
from app.diffusion.noise import GaussianNoise
from app.diffusion.process import VE
from app.errors import InvalidRequest


class _Solver:
    """The single-step methods of orders 1 to 3 from one start, sharing their evaluations."""

    def __init__(self, denoise: Denoiser, x: Tensor, t: Tensor):
        self._denoise, self.x, self.t = denoise, x, t
        self.sigma = (-t).exp()
        self.denoised = denoise(x, self.sigma)
        self._eps = (x - self.denoised) / self.sigma
        self._stage: dict[float, Tensor] = {}

    def again(self) -> _Solver:
        """The same start, without the stages of a rejected step."""
        other = copy.copy(self)
        other._stage = {}
        return other

    def _change_at(self, x: Tensor, t: Tensor) -> Tensor:
        sigma = (-t).exp()
        return (x - self._denoise(x, sigma)) / sigma - self._eps

    def _first_stage(self, h: Tensor, r: float) -> Tensor:
        if r not in self._stage:
            self._stage[r] = self._change_at(self.first(self.t + r * h), self.t + r * h)
        return self._stage[r]

    def first(self, end: Tensor) -> Tensor:
        """Order 1: one evaluation."""
        return self.x - (-end).exp() * torch.expm1(end - self.t) * self._eps

    def second(self, end: Tensor, r: float = 0.5) -> Tensor:
        """Order 2: one evaluation more, at the part r."""
        h = end - self.t
        return self.first(end) - (-end).exp() / (2 * r) * torch.expm1(h) * self._first_stage(h, r)

    def third(self, end: Tensor, r_1: float = 1 / 3, r_2: float = 2 / 3) -> Tensor:
        """Order 3: two evaluations more, at the parts r_1 and r_2."""
        h = end - self.t
        s = self.t + r_2 * h
        bend = torch.expm1(r_2 * h) / (r_2 * h) - 1
        u = self.first(s) - (-s).exp() * (r_2 / r_1) * bend * self._first_stage(h, r_1)
        return self.first(end) - (-end).exp() / r_2 * (torch.expm1(h) / h - 1) * self._change_at(u, s)


def _span(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """t at the first level and at the last that is above zero."""
    last = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -sigmas[0].log(), -last.log()


def _split(t: Tensor, end: Tensor, finish: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Where the solver goes, no further than `finish`, and how much noise brings it back to `end`."""
    if eta <= 0:
        return end, torch.zeros_like(end)
    down = torch.minimum(finish, -VE.ancestral((-t).exp(), (-end).exp(), eta).down.log())
    return down, ((-2 * end).exp() - (-2 * down).exp()).clamp(min=0).sqrt()


def dpm_fast(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """As many evaluations as the schedule has steps, spent on third-order steps; ends at the last positive level."""
    evaluations = len(sigmas) - 1
    start, finish = _span(sigmas)
    rest = evaluations % 3
    full = evaluations // 3
    orders = [3] * (full - 1) + [2, 1] if rest == 0 else [3] * full + [rest]
    times = torch.linspace(start.item(), finish.item(), len(orders) + 1, dtype=sigmas.dtype)
    for i, order in enumerate(orders):
        down, up = _split(times[i], times[i + 1], finish, eta)
        solver = _Solver(denoise, x, times[i])
        x = (solver.first, solver.second, solver.third)[order - 1](down)
        if up > 0 and noise is not None:
            x = x + up * s_noise * noise(solver.sigma, (-times[i + 1]).exp())
        yield Step(i, solver.sigma, x, solver.denoised)


@dataclass
class StepControl:
    """A PID controller of the step length h (k-diffusion; Söderlind 2003)."""

    h: float
    order: int
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    accept_safety: float = 0.81
    _errors: list[float] = field(default_factory=list[float])

    def accepts(self, error: float) -> bool:
        """Whether a step with this relative error stands; also sets the next length.

        Raises InvalidRequest for an error that is not a number.
        """
        if not math.isfinite(error):
            raise InvalidRequest(
                "The model's answers are not numbers any more, so no step can be short enough.",
                remedy="Lower the guidance scale, or choose a sampler with fixed steps.",
            )
        inverse = 1 / (error + 1e-8)
        self._errors = [inverse, *(self._errors[1:] or [inverse, inverse])]
        p, i, d = self.pcoeff, self.icoeff, self.dcoeff
        powers = ((p + i + d) / self.order, -(p + 2 * d) / self.order, d / self.order)
        factor = 1 + math.atan(math.prod(e**k for e, k in zip(self._errors, powers, strict=True)) - 1)
        accept = factor >= self.accept_safety
        if accept:
            self._errors = [self._errors[0], self._errors[0], self._errors[1]]
        self.h *= factor
        return accept


def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: NoiseSource | None = None,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """DPM-Solver-12 or -23: the difference of two orders sets the step; yields the accepted steps.

    Where the noise is each image's own, each takes the steps that it takes alone, one image after the other.
    """

    def walk(denoise: Denoiser, x: Tensor, noise: NoiseSource | None) -> Iterator[Step]:
        control = StepControl(h_init, order, pcoeff, icoeff, dcoeff, accept_safety)
        error = _Error(rtol, atol)
        return _adaptive(denoise, x, _span(sigmas), control, error, noise=noise, eta=eta, s_noise=s_noise)

    own = noise.of_images() if isinstance(noise, GaussianNoise) else []
    yield from _one_by_one(walk, denoise, x, own) if len(own) > 1 else walk(denoise, x, noise)


@dataclass(frozen=True, slots=True)
class _Error:
    """How far two orders are apart, in units of what a step may have."""

    rtol: float
    atol: float

    def __call__(self, low: Tensor, high: Tensor, before: Tensor) -> float:
        allowed = torch.maximum(torch.full_like(low, self.atol), self.rtol * torch.maximum(low.abs(), before.abs()))
        return (((low - high) / allowed) ** 2).mean().sqrt().item()


def _adaptive(
    denoise: Denoiser,
    x: Tensor,
    span: tuple[Tensor, Tensor],
    control: StepControl,
    error: _Error,
    *,
    noise: NoiseSource | None,
    eta: float,
    s_noise: float,
) -> Iterator[Step]:
    t, finish = span
    before, index = x, 0
    solver = _Solver(denoise, x, t)
    while t < finish - 1e-5:
        end = torch.minimum(finish, t + control.h)
        down, up = _split(t, end, finish, eta)
        fresh = solver.again()
        if control.order == 2:
            low, high = fresh.first(down), fresh.second(down)
        else:
            low, high = fresh.second(down, r=1 / 3), fresh.third(down)
        if control.accepts(error(low, high, before)):
            before, x, t = low, high, end
            if up > 0 and noise is not None:
                x = x + up * s_noise * noise(solver.sigma, (-end).exp())
            yield Step(index, solver.sigma, x, solver.denoised)
            index += 1
            if t < finish - 1e-5:
                solver = _Solver(denoise, x, t)


# (denoiser, latent, its noise) → the steps of a run
_Walk = Callable[[Denoiser, Tensor, NoiseSource], Iterator[Step]]


def _one_by_one(walk: _Walk, denoise: Denoiser, x: Tensor, noises: Sequence[NoiseSource]) -> Iterator[Step]:
    """The steps of one image of x (B, C, …) after the other, each shown in its place among the others."""
    denoised, index = x, 0
    for place, noise in enumerate(noises):
        for step in walk(_of_image(denoise, place, len(x)), x[place : place + 1], noise):
            x, denoised = _put(x, place, step.x), _put(denoised, place, step.denoised)
            yield Step(index, step.sigma, x, denoised)
            index += 1


def _of_image(denoise: Denoiser, place: int, count: int) -> Denoiser:
    """Masks and conditions belong to places in the batch, so that an image is asked about in its own."""
    return lambda x, sigma: denoise(x.repeat(count, *(1 for _ in x.shape[1:])), sigma)[place : place + 1]


def _put(batch: Tensor, place: int, image: Tensor) -> Tensor:
    return torch.cat([batch[:place], image, batch[place + 1 :]])
