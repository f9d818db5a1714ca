"""Several matrices that one input after the other is multiplied with, each kept as this processor reads it fastest.

M rows, C columns in, O columns out
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from app.diffusion.kernels import packed


@dataclass(frozen=True, slots=True)
class Matrices:
    """(C, O) each, in order; packed where that is possible (see `kernels.packed`)."""

    kept: tuple[Tensor, ...]
    are_packed: bool
    width: int  # O

    @staticmethod
    def of(weights: Tensor) -> Matrices:
        """(N, O, C) → N matrices of the same dtype."""
        are_packed = weights.dtype in packed.DTYPES and weights.device.type == "cpu" and packed.is_available()
        kept = map(packed.pack_rows, weights) if are_packed else weights.contiguous().transpose(1, 2)
        return Matrices(tuple(kept), are_packed, weights.shape[1])

    def product(self, index: int, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(M, C) → (M, O)."""
        matrix = self.kept[index]
        if self.are_packed:
            return packed.multiply(x, matrix, bias)
        return torch.mm(x, matrix) if bias is None else torch.addmm(bias, x, matrix)

    def added(self, index: int, x: Tensor, to: Tensor) -> Tensor:
        """(M, C) → (M, O), added to what there is."""
        if self.are_packed:
            return packed.multiply(x, self.kept[index], to=to)
        return torch.addmm(to, x, self.kept[index])
