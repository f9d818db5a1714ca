"""softmax(QKᵀ/√d)V, by the fastest exact way that the device has.

PyTorch's fused kernel is that nearly everywhere. In bfloat16 on a CPU it multiplies at a fraction of what plain matrix
products reach, so there every head is computed by its own products, a slice of queries at a time: the scores of a
slice stay in cache, and the peak of memory stays that of a slice.

B batch, N heads, P queries, T keys, D width of a head
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SLICE = 512
# Below this number of scores per head the fused kernel's single call is the quicker one.
MANY_SCORES = 1 << 18
# The second product is slow unless the width of its result is a multiple of this.
ALIGNMENT = 16


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, N, P, D), (B, N, T, D), (B, N, T, D) → (B, N, P, D)."""
    sliced = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] * k.shape[2] >= MANY_SCORES
    if sliced and not torch.is_grad_enabled():
        return _attend_by_products(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def _attend_by_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    width = q.shape[3]
    padded = F.pad(v, (0, -width % ALIGNMENT))
    # Laid out so that the heads' results lie side by side, as the layer that follows reads them.
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], width).transpose(1, 2)
    for image in range(q.shape[0]):
        for head in range(q.shape[1]):
            queries = q[image, head] * width**-0.5
            keys, values = k[image, head].t().contiguous(), padded[image, head].contiguous()
            for top in range(0, q.shape[2], SLICE):
                scores = torch.softmax(queries[top : top + SLICE] @ keys, dim=-1)
                out[image, head, top : top + SLICE] = (scores @ values)[:, :width]
    return out
