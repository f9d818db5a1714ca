"""The tensors of one layer's adapter while it is trained, by the parts that the reader of files knows.

O outputs, I inputs, K kernel, r rank, b blocks of n outputs
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from app.diffusion.adapters.change import Change
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.hadamard import Hadamard, Product
from app.diffusion.adapters.kronecker import Kronecker
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.orthogonal import BlockRotation

Parts = dict[str, Tensor]
# (shape of the weight, rank, where chance comes from) → the parts, none where such an adapter can change nothing
Fresh = Callable[[Sequence[int], int, torch.Generator], Parts]

ALPHA = 1.0  # what a new adapter is multiplied by is α / r
SMALL = 0.1  # deviation of LoHa's first factor, as LyCORIS has it
# What files call the parts; all others are called as they are.
WRITTEN = {"up": "lora_up.weight", "down": "lora_down.weight", "mid": "lora_mid.weight", "oft": "oft_blocks"}


def fresh_low_rank(shape: Sequence[int], rank: int, chance: torch.Generator) -> Parts:
    """LoRA: `up` (O, r) is zero and `down` (r, I, …) is not, so that training starts from the model as it is."""
    inputs = math.prod(shape[1:])
    rank = min(rank, shape[0], inputs)
    ones = [1] * (len(shape) - 2)
    return {
        "up": torch.zeros(shape[0], rank, *ones),
        "down": _spread((rank, *shape[1:]), inputs, chance),
        "alpha": torch.tensor(ALPHA),
    }


def fresh_hadamard(shape: Sequence[int], rank: int, chance: torch.Generator) -> Parts:
    """LoHa: of the four factors (O, r) and (r, I·K) one is zero."""
    inputs = math.prod(shape[1:])
    rank = min(rank, shape[0], inputs)
    return {
        "hada_w1_a": torch.randn(shape[0], rank, generator=chance) * SMALL,
        "hada_w1_b": torch.randn(rank, inputs, generator=chance),
        "hada_w2_a": torch.zeros(shape[0], rank),
        "hada_w2_b": torch.randn(rank, inputs, generator=chance),
        "alpha": torch.tensor(ALPHA),
    }


def fresh_kronecker(shape: Sequence[int], rank: int, chance: torch.Generator) -> Parts:
    """LoKr: a small full factor, and a large one of rank r, or in full where that is no larger. The second is zero."""
    (outer, inner), (wide, narrow) = factors(shape[0]), factors(shape[1])
    inputs = narrow * math.prod(shape[2:])
    parts: Parts = {"lokr_w1": _spread((outer, wide), wide, chance), "alpha": torch.tensor(ALPHA)}
    if rank >= min(inner, inputs):
        return parts | {"lokr_w2": torch.zeros(inner, narrow, *shape[2:])}
    return parts | {"lokr_w2_a": torch.zeros(inner, rank), "lokr_w2_b": _spread((rank, inputs), inputs, chance)}


def fresh_rotation(shape: Sequence[int], rank: int, chance: torch.Generator) -> Parts:
    """OFT: zero blocks (b, n, n), which turn nothing; n is the largest divisor of O up to the rank, above 1."""
    size = max(n for n in range(1, min(rank, shape[0]) + 1) if shape[0] % n == 0)
    return {"oft": torch.zeros(shape[0] // size, size, size)} if size > 1 else {}


FRESH: Mapping[str, Fresh] = {
    "LoRA": fresh_low_rank,
    "LoHa": fresh_hadamard,
    "LoKr": fresh_kronecker,
    "OFT": fresh_rotation,
}


def parts_of(change: Change) -> Parts | None:
    """The parts that a change was read from; None for a kind that cannot be trained further."""
    match change:
        case LowRank(up, down, alpha, mid):
            return _with_alpha(_given(up=up, down=down, mid=mid), alpha)
        case Hadamard(first, second, alpha):
            return _with_alpha({**_halves("hada_w1", first, "hada_t1"), **_halves("hada_w2", second, "hada_t2")}, alpha)
        case Kronecker(first, second, alpha):
            left = {"lokr_w1": first} if isinstance(first, Tensor) else _halves("lokr_w1", first, "lokr_t1")
            right = {"lokr_w2": second} if isinstance(second, Tensor) else _halves("lokr_w2", second, "lokr_t2")
            return _with_alpha({**left, **right}, alpha)
        case BlockRotation(blocks, limit, rescale):
            return _with_alpha(_given(oft=blocks, rescale=rescale), limit or None)
        case Difference(value):
            return {"diff": value}
        case _:
            return None


def factors(number: int) -> tuple[int, int]:
    """The two factors of a number that are nearest to each other, the smaller one first."""
    small = max(n for n in range(1, math.isqrt(number) + 1) if number % n == 0)
    return small, number // small


def _spread(size: Sequence[int], inputs: int, chance: torch.Generator) -> Tensor:
    """Evenly between ±1/√inputs, as layers are born (He et al. 2015, with a = √5)."""
    return (torch.rand(*size, generator=chance) * 2 - 1) / math.sqrt(inputs)


def _given(**parts: Tensor | None) -> Parts:
    return {name: part for name, part in parts.items() if part is not None}


def _with_alpha(parts: Parts, alpha: float | None) -> Parts:
    return parts if alpha is None else {**parts, "alpha": torch.tensor(alpha)}


def _halves(name: str, product: Product, core: str) -> Parts:
    return _given(**{f"{name}_a": product.a, f"{name}_b": product.b, core: product.core})
