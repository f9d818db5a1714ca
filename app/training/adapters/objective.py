"""What a network is trained towards, whatever it predicts.

B samples, C × h × w latents
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.parameterization import ModelSampling

Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: Mapping[str, Loss] = {
    "MSE": F.mse_loss,
    "L1": F.l1_loss,
    "Huber": F.huber_loss,
    "SmoothL1": F.smooth_l1_loss,
}


def drawn_levels(sampling: ModelSampling, count: int, chance: torch.Generator) -> Tensor:
    """Noise levels (count,), each of those that the network was trained on as likely as the others."""
    return sampling.sigmas[torch.randint(len(sampling.sigmas), (count,), generator=chance)]


def target(sampling: ModelSampling, noisy: Tensor, sigma: Tensor, clean: Tensor) -> Tensor:
    """The output that stands for the clean latent (B, C, h, w) at the levels (B,): noise, velocity, flow …

    Every prediction's clean latent is a + b · output; what was seen of it at two outputs tells a and b.
    """
    noisy, sigma = noisy.double(), sigma.double()
    offset = sampling.denoised(noisy, sigma, torch.zeros_like(noisy))
    factor = sampling.denoised(noisy, sigma, torch.ones_like(noisy)) - offset
    return ((clean.double() - offset) / factor).float()
