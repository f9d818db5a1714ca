"""The forward process as a Markov chain of T steps (arXiv:2006.11239), with its posterior.

x_t = sqrt(signal_t)·x0 + sqrt(1 − signal_t)·noise, t = 0 … T − 1. Latents are [B, C, …], t is an int64 tensor [B].
Nothing here divides by sqrt(signal) where the clean latent is given, so schedules may end without any signal.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from app.diffusion.parameterization.betas import checked, signal_of
from app.diffusion.parameterization.predictions import against

# Stands in for the first posterior variance, which is zero and has no logarithm.
LEAST_VARIANCE = 1e-20


class Chain:
    """A chain given by its betas [T]; tables are float64.

    `mix` moves the reverse variance from the posterior's (0: right for a single clean latent) to beta (1: right for
    clean latents of unit variance).

    Raises InvalidRequest for betas that are out of range or fall.
    """

    def __init__(self, betas: Tensor, mix: float = 0.0):
        self.betas = checked(betas)
        self.mix = mix

    @cached_property
    def signal(self) -> Tensor:
        """alpha-bar, float64 [T]."""
        return signal_of(self.betas)

    @cached_property
    def signal_before(self) -> Tensor:
        """alpha-bar of the step before; 1 before the first."""
        return torch.cat([self.signal.new_ones(1), self.signal[:-1]])

    @cached_property
    def posterior_variance(self) -> Tensor:
        """The variance of the reverse step: (1 − mix)·beta-tilde + mix·beta."""
        exact = self.betas * (1 - self.signal_before) / (1 - self.signal)
        return (1 - self.mix) * exact + self.mix * self.betas

    def at(self, table: Tensor, t: Tensor, x: Tensor) -> Tensor:
        """The entries of a table for each item, in x's dtype and with its axes."""
        return against(table[t.to(table.device)].to(x.dtype), x)

    def noised(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """One draw from q(x_t | x0)."""
        mean, variance, _ = self.marginal(clean, t)
        return mean + variance.sqrt() * noise

    def marginal(self, clean: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(mean, variance, log variance) of q(x_t | x0)."""
        variance = self.at(1 - self.signal, t, clean)
        return self.at(self.signal.sqrt(), t, clean) * clean, variance, variance.log()

    def posterior(self, clean: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(mean, variance, log variance) of q(x_(t−1) | x_t, x0), Eq. 6 and 7."""
        left = 1 - self.signal
        of_clean = self.betas * self.signal_before.sqrt() / left
        of_x = (1 - self.signal_before) * (1 - self.betas).sqrt() / left
        mean = self.at(of_clean, t, x) * clean + self.at(of_x, t, x) * x
        logs = self.posterior_variance.clamp(min=LEAST_VARIANCE).log()
        return mean, self.at(self.posterior_variance, t, x), self.at(logs, t, x)

    def reverse(self, clean: Tensor, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """One step down, from what a network takes for the clean latent; the last step adds no noise."""
        mean, variance, _ = self.posterior(clean, x, t)
        return mean + against((t > 0).to(x.dtype), x) * variance.sqrt() * noise

    def clean_from_noise(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x0 from x_t and its noise; needs some signal at t."""
        root = self.at(self.signal.sqrt(), t, x)
        return (x - self.at((1 - self.signal).sqrt(), t, x) * noise) / root

    def noise_from_clean(self, x: Tensor, t: Tensor, clean: Tensor) -> Tensor:
        """The noise in x_t, given x0."""
        return (x - self.at(self.signal.sqrt(), t, x) * clean) / self.at((1 - self.signal).sqrt(), t, x)

    def velocity(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """v = sqrt(signal)·noise − sqrt(1 − signal)·x0 (arXiv:2202.00512)."""
        return self.at(self.signal.sqrt(), t, clean) * noise - self.at((1 - self.signal).sqrt(), t, clean) * clean

    def clean_from_velocity(self, x: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
        """x0 from x_t and v; works without any signal too."""
        return self.at(self.signal.sqrt(), t, x) * x - self.at((1 - self.signal).sqrt(), t, x) * velocity
