"""The two ways of mixing noise into a latent, x = alpha(sigma)·x0 + sigma·noise, as the samplers need them.

Both obey dx/dsigma = (x − x0)/sigma along the probability flow, so deterministic samplers need neither. Samplers that
add noise again do: how much remains, and how strongly the clean part is scaled, differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Renoise:
    """Step down to `down` without noise, then x → scale·x + up·noise. All are 0-d tensors."""

    down: Tensor
    scale: Tensor
    up: Tensor


class Process(Protocol):
    """How alpha, the ratio of noise to signal and ancestral steps follow from sigma."""

    def alpha(self, sigma: Tensor) -> Tensor:
        """The weight of the clean latent at sigma."""
        ...

    def ratio(self, sigma: Tensor) -> Tensor:
        """sigma / alpha: the noise level after x is divided by alpha, where every process explodes in variance."""
        ...

    def sigma_of(self, ratio: Tensor) -> Tensor:
        """The inverse of `ratio`."""
        ...

    def ancestral(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> Renoise:
        """Split the step into a deterministic part and fresh noise; eta 0 adds none."""
        ...


class VarianceExploding:
    """x = x0 + sigma·noise; also the form in which variance-preserving models are sampled."""

    def alpha(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    def ratio(self, sigma: Tensor) -> Tensor:
        return sigma

    def sigma_of(self, ratio: Tensor) -> Tensor:
        return ratio

    def ancestral(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> Renoise:
        """eta as in DDIM (arXiv:2010.02502, Eq. 16)."""
        up = (eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2).clamp(min=0).sqrt()).clamp(max=sigma_next)
        return Renoise((sigma_next**2 - up**2).clamp(min=0).sqrt(), torch.ones_like(sigma), up)


class RectifiedFlow:
    """x = (1 − sigma)·x0 + sigma·noise with sigma in 0..1 (arXiv:2209.03003)."""

    def alpha(self, sigma: Tensor) -> Tensor:
        return 1 - sigma

    def ratio(self, sigma: Tensor) -> Tensor:
        return sigma / (1 - sigma)

    def sigma_of(self, ratio: Tensor) -> Tensor:
        return ratio / (1 + ratio)

    def ancestral(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> Renoise:
        """Go below sigma_next by the ratio of the step, then rescale so that the clean part weighs 1 − sigma_next."""
        down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
        scale = (1 - sigma_next) / (1 - down)
        return Renoise(down, scale, (sigma_next**2 - (scale * down) ** 2).clamp(min=0).sqrt())


VE = VarianceExploding()
FLOW = RectifiedFlow()
