"""What transformers with adaptive normalisation share (Peebles & Xie 2022, arXiv:2212.09748).

B batch, T tokens, C channels, N heads, D head width
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels.attention import attend
from app.diffusion.models.hooks import AttentionHooks

EPSILON = 1e-6


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(B, T, C) normalised without a scale of its own, then scaled and shifted by (B, C)."""
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON) * (1 + scale[:, None]) + shift[:, None]


class FinalLayer(nn.Module):
    """Tokens back to the pixels of their patches: (B, T, C), (B, C) → (B, T, O)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vector).chunk(2, dim=-1)
        return self.linear(modulated(x, shift, scale))


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, 3·C) → queries, keys and values (B, N, T, D)."""
    q, k, v = torch.unflatten(qkv, -1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def attended(q: Tensor, k: Tensor, v: Tensor, hooks: AttentionHooks | None = None) -> Tensor:
    """(B, N, T, D) → (B, T, N·D)."""
    if hooks is None:
        return attend(q, k, v).transpose(1, 2).flatten(2)
    heads = q.shape[1]

    def split(x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)

    def usual(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attended(split(q), split(k), split(v))

    return hooks.attend(usual)(*(part.transpose(1, 2).flatten(2) for part in (q, k, v)))


def joint(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> list[Tensor]:
    """Two streams' queries, keys and values, one after the other along T."""
    return [torch.cat(pair, dim=2) for pair in zip(first, second, strict=True)]
