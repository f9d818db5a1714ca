"""Differential diffusion (arXiv:2306.00950): a grey mask says for how much of the way a place may change."""

from __future__ import annotations

import torch
from torch import Tensor

from app.diffusion.guidance.hooks import MaskAt
from app.diffusion.parameterization import ModelSampling


def differential(strength: float = 1.0) -> MaskAt:
    """Each place joins in once the network's time has fallen to its mask's share of the way.

    A strength below 1 mixes the soft mask itself in.
    """

    def at(mask: Tensor, sigma: Tensor, levels: Tensor, sampling: ModelSampling) -> Tensor:
        last = max(sampling.sigma_min, float(levels[-1]))
        first, now, end = (
            float(sampling.timestep(level)) for level in (levels[0], sigma, torch.tensor(last, dtype=levels.dtype))
        )
        threshold = (now - end) / (first - end) if first != end else 0.0
        joined = (mask >= threshold).to(mask)
        return strength * joined + (1 - strength) * mask if strength < 1 else joined

    return at
