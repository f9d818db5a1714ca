"""`comfy.ldm.flux.math`: rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor


def rope(pos: Tensor, dim: int, theta: float) -> Tensor:
    """Rotations (…, N, dim / 2, 2, 2) for positions (…, N) (arXiv:2104.09864)."""
    powers = torch.arange(0, dim, 2, dtype=torch.float64, device=pos.device) / dim
    angles = pos.double()[..., None] / theta**powers
    rows = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], dim=-1)
    return torch.unflatten(rows, -1, (2, 2)).float()


def apply_rope1(x: Tensor, freqs_cis: Tensor) -> Tensor:
    """x (…, N, dim) turned by rotations (…, N, dim / 2, 2, 2)."""
    pairs = torch.unflatten(x.to(freqs_cis.dtype), -1, (-1, 1, 2))
    return (freqs_cis[..., 0] * pairs[..., 0] + freqs_cis[..., 1] * pairs[..., 1]).flatten(-2).type_as(x)


def apply_rope(xq: Tensor, xk: Tensor, freqs_cis: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys turned alike."""
    return apply_rope1(xq, freqs_cis), apply_rope1(xk, freqs_cis)
