"""From a difference of weights to the low rank that is nearest to it (Eckart & Young 1936)."""

from __future__ import annotations

from torch import Tensor
from torch.linalg import svd  # pyright: ignore[reportUnknownVariableType]  (half of its hints are missing)


def nearest_low_rank(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """`up` (O, r, …) and `down` (r, I, …) whose product differs least from (O, I, …); r is at most `rank`.

    Singular values go into `up`. Computed in float32.
    """
    flat = difference.flatten(1).float()
    rank = min(rank, *flat.shape)
    u, s, vh = _decomposed(flat)
    ones = [1] * (difference.ndim - 2)
    return (u[:, :rank] * s[:rank]).reshape(-1, rank, *ones), vh[:rank].reshape(rank, *difference.shape[1:])


def _decomposed(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return svd(flat, full_matrices=False)  # pyright: ignore[reportUnknownVariableType]
