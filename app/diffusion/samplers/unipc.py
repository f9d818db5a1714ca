"""UniPC (arXiv:2302.04867), data prediction. Time is lambda = −log sigma.

The paper's variance-preserving formulas divided by alpha; the two forms give the same latents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step

# The reference code ends here where a schedule ends in zero, because lambda must stay finite.
END = 1e-3

Variant = Literal["bh1", "bh2"]


def uni_pc(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, *, variant: Variant = "bh1", max_order: int = 3
) -> Iterator[Step]:
    """Predictor and corrector of the same order that share one evaluation a step; order falls at the end."""
    steps = len(sigmas) - 1
    if steps < 1:
        return
    levels = torch.cat([sigmas[:-1], sigmas[-1:].clamp(min=min(END, sigmas[-2].item() / 2))])
    order = max(1, min(max_order, steps - 1))
    denoised = denoise(x, levels[0])
    times, answers = [-math.log(levels[0])], [denoised]
    for i, (sigma, sigma_next) in enumerate(pairwise(levels)):
        now = min(order, i + 1, steps - i)
        end = -math.log(sigma_next)
        update = _Update(times[:now], end, variant)
        started = x
        x = update.predicted(started, answers)
        before = denoised
        if i + 1 < steps:
            denoised = denoise(x, sigma_next)
            x = update.corrected(started, answers, denoised)
            times, answers = [end, *times][:order], [denoised, *answers][:order]
        yield Step(i, sigma, x, before)


def uni_pc_bh2(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, max_order: int = 3) -> Iterator[Step]:
    """UniPC with B(h) = e^h − 1."""
    return uni_pc(denoise, x, sigmas, variant="bh2", max_order=max_order)


class _Update:
    """One step's coefficients: Theorem 3.1 and Eq. 11 of the paper, for hh = −h."""

    def __init__(self, times: Sequence[float], end: float, variant: Variant):
        self.h = end - times[0]
        self.spacing = [(t - times[0]) / self.h for t in times[1:]]
        hh = -self.h
        self.scale = hh if variant == "bh1" else math.expm1(hh)
        nodes = torch.tensor([*self.spacing, 1.0], dtype=torch.float64)
        order = len(times)
        phi, factorial = math.expm1(hh) / hh - 1, 1.0
        right: list[float] = []
        for k in range(1, order + 1):
            right.append(phi * factorial / self.scale)
            factorial *= k + 1
            phi = phi / hh - 1 / factorial
        self._rows = torch.stack([nodes**k for k in range(order)])
        self._right = torch.tensor(right, dtype=torch.float64)

    def _first_order(self, x: Tensor, newest: Tensor) -> Tensor:
        return math.exp(-self.h) * x - math.expm1(-self.h) * newest

    def _differences(self, answers: Sequence[Tensor]) -> list[Tensor]:
        return [(d - answers[0]) / r for d, r in zip(answers[1:], self.spacing, strict=False)]

    def predicted(self, x: Tensor, answers: Sequence[Tensor]) -> Tensor:
        """x at the end of the step, from the answers known at its start."""
        x = self._first_order(x, answers[0])
        if not self.spacing:
            return x
        # With one difference the reference code takes 1/2, which keeps the order and is simpler.
        weights = [0.5] if len(self.spacing) == 1 else _solved(self._rows[:-1, :-1], self._right[:-1])
        return x - self.scale * _weighted(weights, self._differences(answers))

    def corrected(self, x: Tensor, answers: Sequence[Tensor], reached: Tensor) -> Tensor:
        """The same with the answer at the predicted end."""
        differences = [*self._differences(answers), reached - answers[0]]
        weights = [0.5] if len(differences) == 1 else _solved(self._rows, self._right)
        return self._first_order(x, answers[0]) - self.scale * _weighted(weights, differences)


def _solved(rows: Tensor, right: Tensor) -> list[float]:
    # Torch does not say what its linear algebra returns.
    solved = cast("Tensor", torch.linalg.solve(rows, right))  # pyright: ignore[reportUnknownMemberType]
    return [float(weight) for weight in solved]


def _weighted(weights: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total
