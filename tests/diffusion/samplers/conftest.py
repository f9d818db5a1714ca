"""Ideal denoisers with known answers, so that samplers are judged without any weights. All float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from app.diffusion.denoiser import Step
from app.diffusion.schedules import curves

Sampler = Callable[..., Iterator[Step]]


def last(steps: Iterator[Step]) -> Tensor:
    """The latent after the last step."""
    *_, final = steps
    return final.x


@dataclass
class Mixture:
    """Three Gaussians in the plane, unequal weights and diagonal covariances; the exact posterior mean of x0."""

    weights: Tensor = field(default_factory=lambda: torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    means: Tensor = field(
        default_factory=lambda: torch.tensor([[1.5, 0.5], [-1.0, 1.2], [0.2, -1.6]], dtype=torch.float64)
    )
    variances: Tensor = field(
        default_factory=lambda: torch.tensor([[0.09, 0.25], [0.16, 0.04], [0.3, 0.1]], dtype=torch.float64)
    )

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        total = self.variances + sigma**2  # (K, 2)
        away = x[:, None, :] - self.means  # (B, K, 2)
        logs = self.weights.log() - 0.5 * (away**2 / total + total.log()).sum(-1)
        share = logs.softmax(-1)[..., None]
        return (share * (self.means + self.variances / total * away)).sum(1)

    def start(self, sigma: float, count: int = 12) -> Tensor:
        """Start points [count, 2] at noise level sigma."""
        generator = torch.Generator().manual_seed(5)
        return sigma * torch.randn(count, 2, dtype=torch.float64, generator=generator)

    def reference(self, x: Tensor, start: float, end: float) -> Tensor:
        """The end of the probability flow, by DOP853 in log sigma."""

        def slope(t: float, y: np.ndarray) -> np.ndarray:
            points = torch.from_numpy(y.reshape(-1, 2))
            return (points - self(points, torch.tensor(math.exp(t), dtype=torch.float64))).numpy().ravel()

        span = (math.log(start), math.log(end))
        solved = solve_ivp(slope, span, x.numpy().ravel(), method="DOP853", rtol=1e-11, atol=1e-12)
        return torch.from_numpy(solved.y[:, -1].reshape(-1, 2))


def grid(steps: int, high: float = 10.0, low: float = 0.1) -> Tensor:
    """A Karras grid of steps + 1 positive levels, float64; it stops above zero, where the last jump hides the order."""
    ramp = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7


@dataclass
class Orders:
    """Errors of a sampler against the reference on finer and finer grids."""

    mixture: Mixture
    start: Tensor
    end: Tensor

    def errors(self, sampler: Sampler, counts: Sequence[int], **options: Any) -> list[float]:
        """Root mean square error for each number of steps."""
        found = []
        for count in counts:
            x = last(sampler(self.mixture, self.start, grid(count), **options))
            found.append((x - self.end).square().mean().sqrt().item())
        return found

    def slope(self, sampler: Sampler, count: int, **options: Any) -> float:
        """log2 of the error's fall from count to 2·count steps."""
        coarse, fine = self.errors(sampler, (count, 2 * count), **options)
        return math.log2(coarse / fine)


@dataclass
class VarianceProbe:
    """Every sampler is affine on a single Gaussian, so unit vectors give the exact variance of its result.

    Entry 0 of the latent carries the start, entry k the k-th independent noise.
    """

    deviation: float = 0.5
    high: float = 10.0
    low: float = 0.1

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * self.deviation**2 / (self.deviation**2 + sigma**2)

    def error(self, sampler: Sampler, steps: int, *, brownian: bool = False, **options: Any) -> float:
        """Relative error of the variance at the last level."""
        sigmas = grid(steps, self.high, self.low)
        size = 4 * steps + 2
        noise = BrownianUnits(sigmas, size) if brownian else IndependentUnits(size)
        x = torch.zeros(size, dtype=torch.float64)
        x[0] = 1
        result = last(sampler(self.denoise, x, sigmas, noise=noise, **options))
        first = self.deviation**2 + self.high**2
        variance = result[0] ** 2 * first + (result[1:] ** 2).sum()
        return (variance / (self.deviation**2 + self.low**2) - 1).item()


class IndependentUnits:
    """The k-th request gets the k-th unit vector."""

    def __init__(self, size: int):
        self._size, self._next = size, 1

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        unit = torch.zeros(self._size, dtype=torch.float64)
        unit[self._next] = 1
        self._next += 1
        return unit


class BrownianUnits:
    """Unit vectors for the stretches between levels and their geometric middles; sums for longer stretches."""

    def __init__(self, sigmas: Tensor, size: int):
        middles = (sigmas[1:] * sigmas[:-1]).sqrt()
        self._points = torch.cat([sigmas, middles]).sort().values
        self._size = size

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        low, high = sorted((sigma.item(), sigma_next.item()))
        unit = torch.zeros(self._size, dtype=torch.float64)
        lengths = self._points.diff()
        inside = (self._points[:-1] >= low - 1e-9) & (self._points[1:] <= high + 1e-9)
        assert torch.isclose(lengths[inside].sum(), torch.tensor(high - low, dtype=torch.float64))
        unit[1 : len(lengths) + 1][inside] = (lengths[inside] / (high - low)).sqrt()
        return unit


@pytest.fixture(scope="session")
def mixture() -> Mixture:
    return Mixture()


@pytest.fixture(scope="session")
def orders(mixture: Mixture) -> Orders:
    start = mixture.start(10.0)
    return Orders(mixture, start, mixture.reference(start, 10.0, 0.1))


@pytest.fixture(scope="session")
def probe() -> VarianceProbe:
    return VarianceProbe()


@pytest.fixture(scope="session")
def final() -> Callable[[Iterator[Step]], Tensor]:
    return last


@pytest.fixture(scope="session")
def karras() -> Callable[..., Tensor]:
    """karras(steps, low, high) in float64."""
    return lambda steps, low=0.1, high=10.0: curves.karras(steps, low, high).double()
