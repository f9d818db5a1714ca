"""`comfy.ldm.modules.attention`: attention in the forms that packs call, all computed by torch's own.

(B, P, N·D) for N heads of width D; with `skip_reshape` the inputs are (B, N, P, D) already, with
`skip_output_reshape` so is the result.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from app.diffusion.models.attention import (
    GEGLU,
    BasicTransformerBlock,
    CrossAttention,
    FeedForward,
    SpatialTransformer,
)

__all__ = [
    "GEGLU",
    "BasicTransformerBlock",
    "CrossAttention",
    "FeedForward",
    "SpatialTransformer",
    "attention_basic",
    "attention_pytorch",
    "attention_split",
    "attention_sub_quad",
    "default",
    "optimized_attention",
    "optimized_attention_for_device",
    "optimized_attention_masked",
]


def default(val: Any, d: Any) -> Any:
    """The value, or where it is None the other, called if it can be."""
    if val is not None:
        return val
    return d() if callable(d) else d


def attention_pytorch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    mask: Tensor | None = None,
    attn_precision: Any = None,
    skip_reshape: bool = False,
    skip_output_reshape: bool = False,
    **_: Any,
) -> Tensor:
    """softmax(QKᵀ/√d)V; `mask` is added to the scores, or says where to look if it holds truth values."""
    if not skip_reshape:
        q, k, v = (torch.unflatten(part, -1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    if mask is not None:
        mask = mask[(None,) * (2 if mask.ndim == 2 else 0)] if mask.ndim != 3 else mask[:, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out if skip_output_reshape else out.transpose(1, 2).flatten(2)


attention_basic = attention_split = attention_sub_quad = attention_pytorch
optimized_attention = optimized_attention_masked = attention_pytorch


def optimized_attention_for_device(device: Any, mask: bool = False, small_input: bool = False) -> Any:
    """The function for a device: the same on each."""
    return attention_pytorch
