"""The noise levels of a network and the time it is told for each of them.

Every clock has a rising table `sigmas` (float32, [N]), `timestep(sigma)`, `sigma(timestep)` and
`percent_to_sigma(p)`, where p runs from 0 (all noise) to 1 (clean). For shifted flows `sigma` takes the *unshifted*
time while `timestep` gives the shifted one: schedules that are uniform in time shift twice, as ComfyUI's do, so that
the same graph draws the same picture.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from app.diffusion.parameterization.betas import sigmas_of

# What "before the start" means for models whose sigma has no natural end.
BEYOND_START = 999999999.9


class Clock(Protocol):
    """The relation of noise level and network time."""

    @property
    def sigmas(self) -> Tensor:
        """The table, float32 [N], rising."""
        ...

    def timestep(self, sigma: Tensor) -> Tensor:
        """The time that the network is told at sigma, same shape."""
        ...

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at a network time, same shape."""
        ...

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level after this part of the sampling."""
        ...


class DiscreteClock:
    """T trained levels; times are their indices, and levels between are interpolated in log sigma."""

    def __init__(self, signal: Tensor):
        sigmas = sigmas_of(signal)
        self._sigmas = sigmas.float()
        self._logs = sigmas.log().float()

    @property
    def sigmas(self) -> Tensor:
        return self._sigmas

    def timestep(self, sigma: Tensor) -> Tensor:
        logs = self._logs.to(sigma.device)
        return (sigma.log().unsqueeze(-1) - logs).abs().argmin(dim=-1).to(torch.float32)

    def sigma(self, timestep: Tensor) -> Tensor:
        logs = self._logs.to(timestep.device)
        timestep = timestep.float().clamp(0, len(logs) - 1)
        low, high, part = timestep.floor().long(), timestep.ceil().long(), timestep.frac()
        return ((1 - part) * logs[low] + part * logs[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return BEYOND_START
        if percent >= 1:
            return 0.0
        return self.sigma(torch.tensor((1 - percent) * (len(self._logs) - 1))).item()


class DistilledClock(DiscreteClock):
    """Every `stride`-th level of a discrete model alone, as consistency distillation has seen them; times stay."""

    def __init__(self, signal: Tensor, stride: int = 20):
        super().__init__(signal[stride - 1 :: stride])
        self._stride = stride

    def timestep(self, sigma: Tensor) -> Tensor:
        return super().timestep(sigma) * self._stride + self._stride - 1

    def sigma(self, timestep: Tensor) -> Tensor:
        return super().sigma((timestep.float() - (self._stride - 1)) / self._stride)

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return BEYOND_START
        if percent >= 1:
            return 0.0
        return self.sigma(torch.tensor((1 - percent) * (len(self._logs) * self._stride - 1))).item()


class FlowClock:
    """sigma = shift·t / (1 + (shift − 1)·t), t in (0, 1] (arXiv:2403.03206, Eq. 23); the network hears sigma·scale."""

    def __init__(self, shift: float = 1.0, multiplier: float = 1000.0, count: int = 1000):
        self.shift, self.multiplier = shift, multiplier
        self._sigmas = self.shifted(torch.arange(1, count + 1, dtype=torch.float32) / count)

    def shifted(self, t: Tensor) -> Tensor:
        """sigma at the unshifted time t in 0..1."""
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)

    @property
    def sigmas(self) -> Tensor:
        return self._sigmas

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        return self.shifted(timestep / self.multiplier)

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return 1.0
        if percent >= 1:
            return 0.0
        return self.shifted(torch.tensor(1.0 - percent, dtype=torch.float64)).item()


class FluxClock(FlowClock):
    """sigma = e^s / (e^s + 1/t − 1); the network hears sigma itself."""

    def __init__(self, shift: float = 1.15, count: int = 10000):
        super().__init__(shift, 1.0, count)

    def shifted(self, t: Tensor) -> Tensor:
        return math.exp(self.shift) / (math.exp(self.shift) + (1 / t - 1))


class LogUniformClock:
    """Continuous levels from low to high with a log-uniform table."""

    def __init__(self, low: float, high: float, count: int = 1000):
        self._low, self._high = math.log(low), math.log(high)
        self._sigmas = torch.linspace(self._low, self._high, count).exp()

    @property
    def sigmas(self) -> Tensor:
        return self._sigmas

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return BEYOND_START
        if percent >= 1:
            return 0.0
        return math.exp(self._low + (self._high - self._low) * (1 - percent))


class EdmClock(LogUniformClock):
    """The network hears ln(sigma)/4 (arXiv:2206.00364, Table 1)."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / 0.25).exp()


class AngleClock(LogUniformClock):
    """The network hears the angle 2·atan(sigma)/pi, from 0 to 1."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep * math.pi / 2).tan()


class CascadeClock:
    """Stable Cascade: a cosine schedule whose log signal-to-noise ratio is moved by 2·ln(1/shift)."""

    def __init__(self, shift: float = 1.0, offset: float = 8e-3, count: int = 10000):
        self.shift, self._offset = shift, offset
        self._first = math.cos(offset / (1 + offset) * math.pi / 2) ** 2
        self._sigmas = self.sigma(torch.arange(1, count + 1, dtype=torch.float32) / count)

    @property
    def sigmas(self) -> Tensor:
        return self._sigmas

    def timestep(self, sigma: Tensor) -> Tensor:
        signal = (1 / (sigma**2 + 1)).clamp(0, 1)
        return (signal * self._first).sqrt().acos() / (math.pi / 2) * (1 + self._offset) - self._offset

    def sigma(self, timestep: Tensor) -> Tensor:
        signal = torch.cos((timestep + self._offset) / (1 + self._offset) * math.pi / 2) ** 2 / self._first
        if self.shift != 1.0:
            signal = torch.sigmoid(torch.logit(signal.double()) + 2 * math.log(1 / self.shift)).to(timestep.dtype)
        return sigmas_of(signal.clamp(1e-4, 0.9999))

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return BEYOND_START
        if percent >= 1:
            return 0.0
        return self.sigma(torch.tensor(1.0 - percent)).item()
