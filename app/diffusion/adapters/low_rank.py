"""LoRA (Hu et al. 2021, arXiv:2106.09685): W + s·(α/r)·B A.

O outputs, I inputs, r rank, K kernel; of a convolution the inputs and its kernel are one dimension
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.adapters.change import like, scale_of


@dataclass(frozen=True, slots=True)
class LowRank:
    """`up` (O, r, …) · `down` (r, I, …); a convolution's kernel may stand in `mid` (r, r, K, K) (LyCORIS' LoCon)."""

    up: Tensor
    down: Tensor
    alpha: float | None = None
    mid: Tensor | None = None

    @property
    def rank(self) -> int:
        """r; 0 where there is none."""
        return self.down.shape[0] if self.down.ndim else 0

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        rank = self.rank
        if not rank or min(self.up.ndim, self.down.ndim) < 2:
            return False
        if self.mid is not None:
            inner = [rank, rank, *shape[2:]]
            return [*self.mid.shape] == inner and [self.up.shape[0], self.down.numel() // rank] == [*shape[:2]]
        inputs, outputs = self.down.numel() // rank, self.up.numel() // rank
        return self.up.shape[1] == rank and (outputs, inputs) == (shape[0], math.prod(shape[1:]))

    def delta(self, weight: Tensor) -> Tensor:
        """B A · α/r in the weight's shape and precision."""
        up, down = like(self.up, weight).flatten(1), like(self.down, weight).flatten(1)
        product = up @ down if self.mid is None else _through(up, like(self.mid, weight), down)
        return product.reshape(weight.shape) * scale_of(self.alpha, self.down.shape[0])

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)


def _through(up: Tensor, mid: Tensor, down: Tensor) -> Tensor:
    return torch.einsum("om,mnkl,ni->oikl", up, mid, down)
