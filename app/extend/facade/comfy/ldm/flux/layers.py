"""`comfy.ldm.flux.layers`: pieces of transformers over patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.models.flux import DoubleBlock, FluxConfig, SingleBlock
from app.errors import InvalidRequest
from app.extend.facade.comfy.token_patches import angles_of


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


class _AsOurs(type):
    """Our own blocks are of the kind that packs ask about."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return type.__instancecheck__(cls, instance) or isinstance(instance, cls.__mro__[1])


class DoubleStreamBlock(DoubleBlock, metaclass=_AsOurs):
    """Text and picture, each with its own weights, attend to both; made and called as packs do."""

    def __init__(
        self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0, qkv_bias: bool = True, *_: Any, **placed: Any
    ) -> None:
        _check(mlp_ratio, qkv_bias)
        super().__init__(FluxConfig(width=hidden_size, heads=num_heads))
        _put(self, placed)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, img: Tensor, txt: Tensor, vec: Tensor, pe: Tensor, attn_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        """(B, P, C), (B, T, C), (B, C), rotations (…, T + P, D/2, 2, 2) → img, txt."""
        return super().forward(img, txt, vec, angles_of(pe))


class SingleStreamBlock(SingleBlock, metaclass=_AsOurs):
    """All tokens with the same weights; made and called as packs do."""

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0, *_: Any, **placed: Any) -> None:
        _check(mlp_ratio, True)
        super().__init__(FluxConfig(width=hidden_size, heads=num_heads))
        _put(self, placed)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Tensor, vec: Tensor, pe: Tensor, attn_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """(B, T + P, C), (B, C), rotations → x."""
        return super().forward(x, vec, angles_of(pe))


def _check(mlp_ratio: float, qkv_bias: bool) -> None:
    if mlp_ratio != 4.0 or not qkv_bias:
        raise InvalidRequest(
            f"Blocks of Flux are known with feed-forward layers four times as wide and with biases, not {mlp_ratio:g}.",
            remedy="The pack brings a model of another family, which is not served.",
        )


def _put(block: nn.Module, placed: Mapping[str, Any]) -> None:
    block.to(placed.get("device"), placed.get("dtype"))
