"""LoHa (Hyeon-Woo et al. 2021, arXiv:2108.06098): W + s·(α/r)·(A₁B₁ ⊙ A₂B₂).

O outputs, I inputs, r rank, K kernel
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.adapters.change import like, scale_of


@dataclass(frozen=True, slots=True)
class Product:
    """`a` (O, r) · `b` (r, I …); with a `core` (r, r, K, K) for convolutions, `a` is (r, O) (Tucker's form)."""

    a: Tensor
    b: Tensor
    core: Tensor | None = None

    @property
    def rank(self) -> int:
        """r."""
        return self.b.shape[0]

    @property
    def outputs(self) -> int:
        """O."""
        return self.a.shape[0 if self.core is None else 1]

    @property
    def inputs(self) -> int:
        """All that one output is made of, the kernel included."""
        kernel = 1 if self.core is None else math.prod(self.core.shape[2:])
        return self.b.numel() // self.rank * kernel

    def value(self, weight: Tensor) -> Tensor:
        """(O, I) or (O, I, K, K), where the weight is and in its precision."""
        a, b = like(self.a, weight), like(self.b, weight)
        if self.core is None:
            return a @ b.flatten(1)
        return torch.einsum("ijkl,jr,ip->prkl", like(self.core, weight), b, a)


@dataclass(frozen=True, slots=True)
class Hadamard:
    """The elementwise product of two products of low rank."""

    first: Product
    second: Product
    alpha: float | None = None

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        wanted = shape[0], math.prod(shape[1:])
        return all((product.outputs, product.inputs) == wanted for product in (self.first, self.second))

    def delta(self, weight: Tensor) -> Tensor:
        """The change in the weight's shape and precision."""
        both = self.first.value(weight) * self.second.value(weight)
        return both.reshape(weight.shape) * scale_of(self.alpha, self.first.rank)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)
