"""GLoRA (Chavan et al. 2023, arXiv:2306.07967): W + s·(α/r)·(W A + B), A and B of low rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.adapters.change import like, scale_of


@dataclass(frozen=True, slots=True)
class Generalised:
    """A = `a2`·`a1` and B = `b2`·`b1`, with a1 (r, I), a2 (I, r), b1 (r, I …), b2 (O, r).

    A mixes the inputs: of a convolution the channels, alike at every point of the kernel. There are files with the
    factors of each product in the other order, a1 (I, r) and so on; `of` brings them into this form.
    """

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    alpha: float | None = None

    @classmethod
    def of(cls, a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor, alpha: float | None) -> Generalised:
        """From a file's factors in either order: in the right one, both products agree on the rank.

        Where both orders do, the products' inner dimensions are the smaller ones.
        """
        a1, a2, b1, b2 = (part.flatten(1) for part in (a1, a2, b1, b2))
        ours = a1.shape[0] == b1.shape[0] == b2.shape[1]
        other = a1.shape[1] == b1.shape[1] == b2.shape[0]
        if other and (not ours or a1.shape[0] > a1.shape[1]):
            return cls(a2, a1, b2, b1, alpha)
        return cls(a1, a2, b1, b2, alpha)

    @property
    def rank(self) -> int:
        """r."""
        return self.a1.shape[0]

    def fits(self, shape: Sequence[int]) -> bool:
        """See `Change`."""
        inputs, mixed = math.prod(shape[1:]), self.a2.shape[0]  # a kernel's points may be mixed with the channels
        mixes = mixed in (inputs, *shape[1:2]) and self.a1.shape == (self.rank, mixed)
        adds = self.b1.shape == (self.rank, inputs) and self.b2.shape == (shape[0], self.rank)
        return mixes and adds and self.a2.shape == (mixed, self.rank)

    def delta(self, weight: Tensor) -> Tensor:
        """The change in the weight's shape and precision."""
        a1, a2, b1, b2 = (like(part, weight) for part in (self.a1, self.a2, self.b1, self.b2))
        columns = weight.reshape(weight.shape[0], a2.shape[0], -1)  # (O, I, points of the kernel)
        product = torch.einsum("oik,ir,rj->ojk", columns, a2, a1).flatten(1) + b2 @ b1
        return product.reshape(weight.shape) * scale_of(self.alpha, self.rank)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """See `Change`."""
        return weight + strength * self.delta(weight)
