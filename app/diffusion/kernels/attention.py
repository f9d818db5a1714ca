"""softmax(QKᵀ/√d)V, by the fastest exact way that the device has.

PyTorch's fused kernel is that nearly everywhere. In bfloat16 on a CPU it multiplies at a fraction of what plain matrix
products reach, so there the products are taken one by one: of all heads at once while their scores fit in the caches,
otherwise of a slice of a head's queries at a time.

B batch, N heads, P queries, T keys, D width of a head
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.kernels.exponential import REACH, STEPS, powers_of_two
from app.diffusion.kernels.lanes import side_by_side

# Queries of a head at a time: with 4096 keys their scores take the 2 MiB that the nearer caches hold.
SLICE = 256
# Products of an image's scores below which one call of the fused kernel takes less time than several of others.
FEW_PRODUCTS = 1 << 21
# Scores of all heads of an image that the shared cache still holds: 8 MiB.
FEW_SCORES = 1 << 22
# The second product is slow unless the width of its result is a multiple of this.
ALIGNMENT = 16
# Sums of powers of two between which none of these is infinite, and none that matters has vanished.
LEAST_SUM, GREATEST_SUM = 2.0**-100, 2.0**100


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, N, P, D), (B, N, T, D), (B, N, T, D) → (B, N, P, D)."""
    tiny = q.shape[1:].numel() * k.shape[2] < FEW_PRODUCTS
    if tiny or q.device.type != "cpu" or q.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v)
    # Laid out so that the heads' results lie side by side, as the layer that follows reads them.
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)
    if q.shape[1] * q.shape[2] * k.shape[2] <= FEW_SCORES:
        for image in zip(q, k, v, out, strict=True):
            _attend_at_once(*image)
        return out
    lanes = 1 if q.shape[1] % 2 else min(2, torch.get_num_threads())  # each takes its share of the heads
    parts = zip(*(part.chunk(lanes, dim=1) for part in (q, k, v, out)), strict=True)
    side_by_side([partial(_attend_by_slices, *part) for part in parts])
    return out


def are_exact(sums: Tensor) -> bool:
    """Whether none of the exponentials that made the sums was infinite, and none that matters has vanished."""
    least, greatest = (float(value) for value in torch.aminmax(sums))
    return least > LEAST_SUM and greatest < GREATEST_SUM


def _attend_at_once(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:  # (N, P, D), (N, T, D) twice, (N, P, D)
    scores = torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2))
    out.copy_(torch.bmm(torch.softmax(scores, dim=-1), v))


def _attend_by_slices(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> Tensor:
    for image in zip(q, k, v, out, strict=True):
        _attend_image_by_slices(*image)
    return out


def _attend_image_by_slices(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor
) -> None:  # (N, P, D), (N, T, D) twice, (N, P, D)
    """Write to out. The exponentials are divided by their sum only after the second product, which sums them as well.

    They are taken by their bits in heads whose scores cannot be far from zero. In others their largest is subtracted,
    as is usual, only where the sums say that they overflowed or vanished.
    """
    heads, keys, width = k.shape
    values = v.new_empty(heads, keys, -(-(width + 1) // ALIGNMENT) * ALIGNMENT)
    values[:, :, :width] = v
    values[:, :, width:] = 0
    values[:, :, width] = 1
    scale = width**-0.5 / math.log(2)
    columns = k.transpose(1, 2).contiguous() * scale
    weighted = q.new_empty(heads, q.shape[1], values.shape[2])
    near = (_longest(q) * _longest(k) * scale <= REACH).tolist()
    for head, is_near in enumerate(near):
        if is_near:
            columns[head] *= STEPS
        powers = powers_of_two if is_near else Tensor.exp2_
        _attend_with_head(q[head], columns[head], values[head], weighted[head], powers)
    sums = weighted[:, :, width : width + 1]
    if not are_exact(sums):
        for head in range(heads):
            if not are_exact(sums[head]):
                _attend_with_head(q[head], columns[head], values[head], weighted[head], _powers_below_one)
    torch.div(weighted[:, :, :width], sums, out=out)


def _longest(x: Tensor) -> Tensor:  # (N, T, D) → (N,)
    norm = cast("Callable[..., Tensor]", torch.linalg.vector_norm)  # pyright: ignore[reportUnknownMemberType]
    return norm(x, dim=2).amax(dim=1).float()


def _powers_below_one(scores: Tensor) -> Tensor:
    return scores.sub_(scores.amax(dim=1, keepdim=True)).exp2_()


def _attend_with_head(
    q: Tensor, columns: Tensor, values: Tensor, weighted: Tensor, powers: Callable[[Tensor], Tensor]
) -> None:  # (P, D), (D, T), (T, D + 1 …), (P, D + 1 …)
    scores = q.new_empty(min(SLICE, len(q)), columns.shape[1])
    for queries, result in zip(torch.split(q, SLICE), torch.split(weighted, SLICE), strict=True):
        torch.mm(powers(torch.mm(queries, columns, out=scores[: len(queries)])), values, out=result)
