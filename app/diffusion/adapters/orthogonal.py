"""OFT (Qiu et al. 2023, arXiv:2306.07280) and BOFT (Liu et al. 2023, arXiv:2311.06243): outputs turned by rotations.

b blocks of n outputs; m layers of butterflies
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.adapters.change import like


def cayley(blocks: Tensor, limit: float = 0.0) -> Tensor:
    """Rotations (…, n, n) of any square blocks: (I + Q)(I − Q)⁻¹ with Q = B − Bᵀ, cut to the norm `limit` if positive.

    The norm is that of all blocks together, butterflies' layers included.
    """
    skew = blocks - blocks.mT
    if limit > 0:
        norm = skew.square().sum().clamp_min(limit**2).sqrt()  # clamped first: the root has no gradient at 0
        skew = skew * (limit / norm)
    one = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    return (one + skew) @ torch.inverse(one - skew)  # I − Q can always be inverted: Q has imaginary eigenvalues


@dataclass(frozen=True, slots=True)
class BlockRotation:
    """OFT: each block of outputs turned by Rᵀ, then scaled by `rescale` (O, 1 …). `blocks` (b, n, n).

    The strength mixes R with no rotation. `limit` is that of `cayley` for each output, as trainers count it: they cut
    at limit · O.
    """

    blocks: Tensor
    limit: float = 0.0
    rescale: Tensor | None = None

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        return self.blocks.shape[0] * self.blocks.shape[1] == shape[0]

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        rotation = _mixed(cayley(like(self.blocks, weight), self.limit * weight.shape[0]), strength)
        rows = weight.reshape(*self.blocks.shape[:2], -1)  # (b, n, I)
        return _rescaled((rotation.mT @ rows).reshape(weight.shape), self.rescale, strength)


@dataclass(frozen=True, slots=True)
class Butterfly:
    """BOFT: layers of rotations, between which the outputs change places as in a fast Fourier transform.

    `blocks` (m, b, n, n); see `BlockRotation`.
    """

    blocks: Tensor
    limit: float = 0.0
    rescale: Tensor | None = None

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        layers, count, size = self.blocks.shape[:3]
        return count * size == shape[0] and shape[0] % (2**layers * max(size // 2, 1)) == 0

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        rotations = _mixed(cayley(like(self.blocks, weight), self.limit * weight.shape[0]), strength)
        size = self.blocks.shape[2]
        rows = weight.flatten(1)
        for layer, rotation in enumerate(rotations):
            stride = 2**layer * (size // 2)
            paired = rows.reshape(-1, 2, stride, rows.shape[-1]).transpose(1, 2)
            turned = rotation @ paired.reshape(-1, size, rows.shape[-1])
            rows = turned.reshape(-1, stride, 2, rows.shape[-1]).transpose(1, 2).flatten(0, 2)
        return _rescaled(rows.reshape(weight.shape), self.rescale, strength)


def _mixed(rotation: Tensor, strength: float) -> Tensor:
    one = torch.eye(rotation.shape[-1], dtype=rotation.dtype, device=rotation.device)
    return one + strength * (rotation - one)


def _rescaled(weight: Tensor, rescale: Tensor | None, strength: float) -> Tensor:
    if rescale is None:
        return weight
    return weight * (1.0 + strength * (like(rescale, weight).reshape(-1, *[1] * (weight.ndim - 1)) - 1.0))
