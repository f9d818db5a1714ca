"""`comfy.ldm.flux.layers`: pieces of transformers over patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000, time_factor: float = 1000.0) -> Tensor:
    """Cosines then sines of time_factor · t: (B,) → (B, dim)."""
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = (time_factor * t)[:, None].float() * torch.exp(-math.log(max_period) * steps / half)[None]
    waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
    if dim % 2:
        waves = torch.cat([waves, torch.zeros_like(waves[:, :1])], dim=-1)
    return waves.to(t.dtype) if t.is_floating_point() else waves


class RMSNorm(nn.Module):
    """x / rms(x) · scale over the last axis."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → the same shape."""
        return torch.nn.functional.rms_norm(x, self.scale.shape, self.scale.to(x), 1e-6)


class MLPEmbedder(nn.Module):
    """Two linear layers around a SiLU."""

    def __init__(self, in_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(in_dim, hidden_dim)
        self.silu = nn.SiLU()
        self.out_layer = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_dim) → (…, hidden_dim)."""
        return self.out_layer(self.silu(self.in_layer(x)))
