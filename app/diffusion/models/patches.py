"""Latents as sequences of patches, as diffusion transformers read them.

B batch, C channels, H × W latent pixels, p patch side
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.models.unet import timestep_embedding

FREQUENCIES = 256  # channels of the sinusoids that times and guidance scales are told in


def whole_patches(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) with H and W multiples of the patch's side; what lacks is taken from the opposite edge."""
    lower, right = -x.shape[-2] % side, -x.shape[-1] % side
    return F.pad(x, (0, right, 0, lower), mode="circular") if lower or right else x


def packed(x: Tensor, side: int = 2) -> Tensor:
    """(B, C, H, W) → (B, H/p · W/p, C·p·p), channels first within a patch."""
    return F.unfold(x, side, stride=side).transpose(1, 2)


def unpacked(x: Tensor, height: int, width: int, side: int = 2) -> Tensor:
    """The inverse of `packed` for H × W latent pixels."""
    return F.fold(x.transpose(1, 2), (height, width), side, stride=side)


def pixels_of(x: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """(B, rows · columns, p·p·C), channels last within a patch → (B, C, rows·p, columns·p)."""
    x = torch.unflatten(torch.unflatten(x, 2, (side, side, -1)), 1, (rows, columns))  # (B, rows, columns, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def waves(value: Tensor, dtype: torch.dtype) -> Tensor:
    """(B,) → (B, 256) sinusoids, computed in float32."""
    return timestep_embedding(value.float(), FREQUENCIES).to(dtype)
