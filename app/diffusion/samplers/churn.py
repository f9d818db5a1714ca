"""Karras et al.'s churn: a little noise added back before a step (arXiv:2206.00364, Algorithm 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from app.diffusion.denoiser import NoiseSource


@dataclass(frozen=True, slots=True)
class Churn:
    """Settings of the paper: amount over all steps, the range of sigma it acts in, and the noise's strength."""

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def raised(self, x: Tensor, sigma: Tensor, steps: int, noise: NoiseSource | None) -> tuple[Tensor, Tensor]:
        """(x, sigma) after the noise level went up for this step; unchanged where churn does not act."""
        if self.s_churn <= 0 or noise is None or not self.s_tmin <= float(sigma) <= self.s_tmax:
            return x, sigma
        higher = sigma * (1 + min(self.s_churn / steps, math.sqrt(2) - 1))
        return x + noise(sigma, higher) * self.s_noise * (higher**2 - sigma**2).sqrt(), higher
