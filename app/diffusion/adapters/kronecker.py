"""LoKr (Yeh et al. 2023, arXiv:2309.14859, section 3.2): W + s·(α/r)·(C ⊗ D)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.adapters.change import like, scale_of
from app.diffusion.adapters.hadamard import Product


@dataclass(frozen=True, slots=True)
class Kronecker:
    """C ⊗ D; each factor is a tensor, or a product of low rank. α counts only where one of them is such a product."""

    first: Tensor | Product
    second: Tensor | Product
    alpha: float | None = None

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        (outer, wide), (inner, narrow) = _size(self.first), _size(self.second)
        return (outer * inner, wide * narrow) == (shape[0], math.prod(shape[1:]))

    def delta(self, weight: Tensor) -> Tensor:
        """The change in the weight's shape and precision."""
        first, second = _value(self.first, weight), _value(self.second, weight)
        first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
        ranks = [factor.rank for factor in (self.first, self.second) if isinstance(factor, Product)]
        scale = scale_of(self.alpha, ranks[-1]) if ranks else 1.0
        return torch.kron(first.contiguous(), second.contiguous()).reshape(weight.shape) * scale

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)


def _size(factor: Tensor | Product) -> tuple[int, int]:
    """(rows, all that one row holds)."""
    if isinstance(factor, Product):
        return factor.outputs, factor.inputs
    return factor.shape[0], math.prod(factor.shape[1:])


def _value(factor: Tensor | Product, weight: Tensor) -> Tensor:
    return factor.value(weight) if isinstance(factor, Product) else like(factor, weight)
