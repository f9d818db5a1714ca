"""softmax(QKᵀ/√d)V, by the fastest exact way that the device has.

PyTorch's fused kernel is that nearly everywhere. In bfloat16 on a CPU it multiplies at a fraction of what plain matrix
products reach, so there the products are taken one by one: of all heads at once while their scores fit in the caches,
otherwise of a slice of a head's queries at a time.

B batch, N heads, P queries, T keys, D width of a head
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SLICE = 512
# Products of an image's scores below which one call of the fused kernel takes less time than several of others.
FEW_PRODUCTS = 1 << 21
# Scores of all heads of an image that the shared cache still holds: 8 MiB.
FEW_SCORES = 1 << 22
# The second product is slow unless the width of its result is a multiple of this.
ALIGNMENT = 16
# Powers of two as far apart as this, and sums of a million of them, are neither infinite nor zero in bfloat16.
SAFE_EXPONENT = 100.0


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, N, P, D), (B, N, T, D), (B, N, T, D) → (B, N, P, D)."""
    tiny = q.shape[1:].numel() * k.shape[2] < FEW_PRODUCTS
    if tiny or q.device.type != "cpu" or q.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v)
    # Laid out so that the heads' results lie side by side, as the layer that follows reads them.
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)
    by_image = _attend_at_once if q.shape[1] * q.shape[2] * k.shape[2] <= FEW_SCORES else _attend_by_slices
    for image in range(q.shape[0]):
        by_image(q[image], k[image], v[image], out[image])
    return out


def _attend_at_once(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:  # (N, P, D), (N, T, D) twice, (N, P, D)
    scores = torch.bmm(q * q.shape[2] ** -0.5, k.transpose(1, 2))
    out.copy_(torch.bmm(torch.softmax(scores, dim=-1), v))


def _attend_by_slices(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:  # (N, P, D), (N, T, D) twice, (N, P, D)
    """Write to out. The exponentials are divided by their sum only after the second product, which sums them as well.

    Their largest is subtracted, as is usual, only where |q|·|k| says that they could overflow.
    """
    heads, keys, width = k.shape
    scale = width**-0.5 / math.log(2)
    longest = [math.sqrt(float((part * part).sum(2).amax())) for part in (q, k)]
    overflows = not longest[0] * longest[1] * scale < SAFE_EXPONENT
    values = v.new_zeros(heads, keys, -(-(width + 1) // ALIGNMENT) * ALIGNMENT)
    values[:, :, :width] = v
    values[:, :, width] = 1
    scores = q.new_empty(min(SLICE, q.shape[1]), keys)
    for head in range(heads):
        queries, columns = q[head] * scale, k[head].t().contiguous()
        for top in range(0, q.shape[1], SLICE):
            piece = queries[top : top + SLICE]
            exponents = torch.mm(piece, columns, out=scores[: len(piece)])
            if overflows:
                exponents -= exponents.amax(dim=1, keepdim=True)
            sums = exponents.exp2_() @ values[head]
            torch.div(sums[:, :width], sums[:, width : width + 1], out=out[head, top : top + len(piece)])
