"""GLoRA (Chavan et al. 2023, arXiv:2306.07967): W + s·(α/r)·(W A + B), A and B of low rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from app.diffusion.adapters.change import like, scale_of


@dataclass(frozen=True, slots=True)
class Generalised:
    """A = `a2`·`a1` and B = `b2`·`b1`, with a1 and b1 (r, I …), a2 (I, r), b2 (O, r).

    There are files with every factor transposed, a1 (I, r) and so on; `of` brings them into this form.
    """

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    alpha: float | None = None

    @classmethod
    def of(cls, a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor, alpha: float | None) -> Generalised:
        """From a file's factors in either order: the products' inner dimensions are the smaller ones."""
        a1, a2, b1, b2 = (part.flatten(1) for part in (a1, a2, b1, b2))
        if a1.shape[0] > a1.shape[1]:
            return cls(a2, a1, b2, b1, alpha)
        return cls(a1, a2, b1, b2, alpha)

    @property
    def rank(self) -> int:
        """r."""
        return self.a1.shape[0]

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        inputs = math.prod(shape[1:])
        agree = self.a1.shape == self.b1.shape == (self.rank, inputs)
        return agree and self.a2.shape == (inputs, self.rank) and self.b2.shape == (shape[0], self.rank)

    def delta(self, weight: Tensor) -> Tensor:
        """The change in the weight's shape and precision."""
        a1, a2, b1, b2 = (like(part, weight) for part in (self.a1, self.a2, self.b1, self.b2))
        product = (weight.flatten(1) @ a2) @ a1 + b2 @ b1
        return product.reshape(weight.shape) * scale_of(self.alpha, self.rank)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)
